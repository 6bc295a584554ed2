use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const LEAF: &str = "1.2.840.113635.100.6.11.1";
const INTERMEDIATE: &str = "1.2.840.113635.100.6.2.1";

fn marked(oid: &[u64]) -> CustomExtension {
    CustomExtension::from_oid_content(oid, vec![5, 0])
}

fn params(name: &str, is_ca: bool, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2023, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

/// A chain as Apple's: leaf, intermediate, root.
fn chain(leaf_until: i32, mark: bool) -> Vec<Vec<u8>> {
    let key = || KeyPair::generate().expect("a key");
    let root_key = key();
    let root_params = params("root.example", true, 2040);
    let root = root_params.self_signed(&root_key).expect("a root");
    let root_issuer = Issuer::new(root_params, root_key);
    let mut middle_params = params("middle.example", true, 2040);
    let mut leaf_params = params("leaf.example", false, leaf_until);
    if mark {
        middle_params.custom_extensions.push(marked(&[1, 2, 840, 113_635, 100, 6, 2, 1]));
        leaf_params.custom_extensions.push(marked(&[1, 2, 840, 113_635, 100, 6, 11, 1]));
    }
    let middle_key = key();
    let middle = middle_params.signed_by(&middle_key, &root_issuer).expect("an intermediate");
    let middle_issuer = Issuer::new(middle_params, middle_key);
    let leaf = leaf_params.signed_by(&key(), &middle_issuer).expect("a leaf");
    [leaf, middle, root].iter().map(|certificate| certificate.der().to_vec()).collect()
}

fn pinned(root: &[u8]) -> PinnedRoot {
    let mut pinned = PinnedRoot::read(root).expect("a root");
    pinned.leaf_marker = Some(LEAF.to_owned());
    pinned.intermediate_marker = Some(INTERMEDIATE.to_owned());
    pinned
}

#[test]
fn a_chain_has_to_end_at_the_pinned_root() {
    let [leaf, middle, root] = chain(2030, true).try_into().expect("three");
    let root_of_others = chain(2030, true).pop().expect("a root");
    let all = [leaf.clone(), middle.clone(), root.clone()];
    let pin = pinned(&root);
    assert!(pin.leaf_key(&all, NOW).is_ok());
    assert!(pin.leaf_key(&all[..2], NOW).is_ok(), "the root need not come along");
    assert!(pinned(&root_of_others).leaf_key(&all, NOW).is_err(), "another root is pinned");
    let [their_leaf, their_middle, their_root] = chain(2030, true).try_into().expect("three");
    assert!(pin.leaf_key(&[their_leaf.clone(), their_middle, their_root], NOW).is_err());
    assert!(pin.leaf_key(&[their_leaf, middle.clone(), root.clone()], NOW).is_err());
    assert!(pin.leaf_key(std::slice::from_ref(&leaf), NOW).is_err(), "a link is missing");
    assert!(pin.leaf_key(std::slice::from_ref(&root), NOW).is_err());
    assert!(pin.leaf_key(&[], NOW).is_err());
    assert!(pin.leaf_key(&[middle, root.clone()], NOW).is_err(), "a certificate of an authority");
    let long = vec![leaf; 5];
    assert!(pin.leaf_key(&long, NOW).is_err());
}

/// The chain of Apple's own tests, which carries the markers of the App Store
/// (<https://github.com/apple/app-store-server-library-swift>, `SignedDataVerifierTests.swift`).
const APPLE: [&str; 3] = [
    "MIIBoDCCAUagAwIBAgIBDDAKBggqhkjOPQQDAzBFMQswCQYDVQQGEwJVUzELMAkGA1UECAwCQ0ExEjAQBgNVBAcMCUN1cGVydGlubzEVMBMGA1UECgwMSW50ZXJtZWRpYXRlMB4XDTIzMDEwNTIxMzEzNFoXDTMzMDEwMTIxMzEzNFowPTELMAkGA1UEBhMCVVMxCzAJBgNVBAgMAkNBMRIwEAYDVQQHDAlDdXBlcnRpbm8xDTALBgNVBAoMBExlYWYwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATitYHEaYVuc8g9AjTOwErMvGyPykPa+puvTI8hJTHZZDLGas2qX1+ErxgQTJgVXv76nmLhhRJH+j25AiAI8iGsoy8wLTAJBgNVHRMEAjAAMA4GA1UdDwEB/wQEAwIHgDAQBgoqhkiG92NkBgsBBAIFADAKBggqhkjOPQQDAwNIADBFAiBX4c+T0Fp5nJ5QRClRfu5PSByRvNPtuaTsk0vPB3WAIAIhANgaauAj/YP9s0AkEhyJhxQO/6Q2zouZ+H1CIOehnMzQ",
    "MIIBnzCCAUWgAwIBAgIBCzAKBggqhkjOPQQDAzA2MQswCQYDVQQGEwJVUzETMBEGA1UECAwKQ2FsaWZvcm5pYTESMBAGA1UEBwwJQ3VwZXJ0aW5vMB4XDTIzMDEwNTIxMzEwNVoXDTMzMDEwMTIxMzEwNVowRTELMAkGA1UEBhMCVVMxCzAJBgNVBAgMAkNBMRIwEAYDVQQHDAlDdXBlcnRpbm8xFTATBgNVBAoMDEludGVybWVkaWF0ZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBUN5V9rKjfRiMAIojEA0Av5Mp0oF+O0cL4gzrTF178inUHugj7Et46NrkQ7hKgMVnjogq45Q1rMs+cMHVNILWqjNTAzMA8GA1UdEwQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMBAGCiqGSIb3Y2QGAgEEAgUAMAoGCCqGSM49BAMDA0gAMEUCIQCmsIKYs41ullssHX4rVveUT0Z7Is5/hLK1lFPTtun3hAIgc2+2RG5+gNcFVcs+XJeEl4GZ+ojl3ROOmll+ye7dynQ=",
    "MIIBgjCCASmgAwIBAgIJALUc5ALiH5pbMAoGCCqGSM49BAMDMDYxCzAJBgNVBAYTAlVTMRMwEQYDVQQIDApDYWxpZm9ybmlhMRIwEAYDVQQHDAlDdXBlcnRpbm8wHhcNMjMwMTA1MjEzMDIyWhcNMzMwMTAyMjEzMDIyWjA2MQswCQYDVQQGEwJVUzETMBEGA1UECAwKQ2FsaWZvcm5pYTESMBAGA1UEBwwJQ3VwZXJ0aW5vMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc+/Bl+gospo6tf9Z7io5tdKdrlN1YdVnqEhEDXDShzdAJPQijamXIMHf8xWWTa1zgoYTxOKpbuJtDplz1XriTaMgMB4wDAYDVR0TBAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwMDRwAwRAIgemWQXnMAdTad2JDJWng9U4uBBL5mA7WI05H7oH7c6iQCIHiRqMjNfzUAyiu9h6rOU/K+iTR0I/3Y/NSWsXHX+acc",
];

#[test]
fn the_chain_of_apples_tests_leads_to_its_root_while_it_is_valid() {
    let chain = APPLE.map(|text| data_encoding::BASE64.decode(text.as_bytes()).expect("base64"));
    let pin = pinned(&chain[2]);
    assert_eq!(pin.leaf_key(&chain, NOW).expect("a key").kind(), "P-256");
    let years = |count: i64| UnixMillis(NOW.0 + count * 365 * 86_400_000);
    assert!(pin.leaf_key(&chain, years(10)).is_err(), "2033 is over");
    assert!(pin.leaf_key(&chain, years(-1)).is_err(), "2023 has not come");
    let [leaf, middle, root] = &chain;
    assert!(pin.leaf_key(&[middle.clone(), leaf.clone(), root.clone()], NOW).is_err());
    assert!(pinned(leaf).leaf_key(&chain, NOW).is_err());
    let mut altered = leaf.clone();
    let at = altered.len() / 2;
    altered[at] ^= 1;
    assert!(pin.leaf_key(&[altered, middle.clone()], NOW).is_err());
    let swapped = PinnedRoot {
        leaf_marker: Some(INTERMEDIATE.to_owned()),
        intermediate_marker: Some(LEAF.to_owned()),
        ..pin
    };
    assert!(swapped.leaf_key(&chain, NOW).is_err(), "the marks of another use");
}

#[test]
fn an_expired_chain_and_one_without_marks_are_refused() {
    let expired = chain(2023, true);
    let root = expired.last().expect("a root");
    let why = pinned(root).leaf_key(&expired, NOW).expect_err("expired");
    assert!(why.contains("expired"), "{why}");
    let plain = chain(2030, false);
    let root = plain.last().expect("a root");
    assert!(pinned(root).leaf_key(&plain, NOW).is_err(), "no marks");
    assert!(PinnedRoot::read(root).expect("a root").leaf_key(&plain, NOW).is_ok());
}

#[test]
fn a_certificate_is_read_from_pem_and_der_and_knows_when_it_is_valid() {
    let key = KeyPair::generate().expect("a key");
    let certificate = params("a.example", false, 2024).self_signed(&key).expect("signed");
    for bytes in [certificate.pem().into_bytes(), certificate.der().to_vec()] {
        let read = Certificate::read(&bytes).expect("a certificate");
        assert!(read.is_valid_at(NOW));
        assert!(!read.is_valid_at(UnixMillis(NOW.0 + 365 * 86_400_000)));
        assert!(!read.is_valid_at(UnixMillis(NOW.0 - 365 * 86_400_000)));
    }
    for bytes in [&b""[..], b"{}", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
    {
        assert!(Certificate::read(bytes).is_err());
    }
}
