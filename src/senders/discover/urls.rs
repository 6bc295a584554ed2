//! URLs that a sender may have been given.

use crate::request::RequestHead;

/// URLs that the sender may have been given: `own` and its usual misspellings, then what the request
/// itself says.
pub(crate) fn public_urls(head: &RequestHead, own: Option<&str>) -> Vec<String> {
    let forwarded = head.headers.text("x-forwarded-host");
    let hosts = forwarded.into_iter().chain([head.host.as_str()]).filter(|host| !host.is_empty());
    let mut urls: Vec<String> = own.map(str::to_owned).into_iter().collect();
    urls.extend(hosts.map(|host| format!("https://{host}{}", head.path)));
    for url in urls.clone() {
        let Some((_, rest)) = url.split_once("://") else { continue };
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let www = host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned);
        let paths = [path, path.trim_end_matches('/'), &format!("{path}/"), &head.path, "/", ""]
            .map(str::to_owned);
        let hosts = [
            host.to_owned(),
            bare.to_owned(),
            format!("{bare}:443"),
            format!("{bare}:80"),
            format!("{bare}:8443"),
            format!("{bare}:8080"),
            www,
        ];
        for path in &paths {
            for host in &hosts {
                urls.extend(["https", "http"].map(|scheme| format!("{scheme}://{host}{path}")));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls
}
