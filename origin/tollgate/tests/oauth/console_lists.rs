//! The console's lists: search, pages, filters and exports.

use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::{Value, json};

use crate::console::{Fixture, submit_and_follow};
use crate::fixture::Origin;
use tollgate_test_kit::browser::Page;

#[tokio::test(flavor = "multi_thread")]
async fn console_lists_are_searched_and_paged() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    for number in 0..60 {
        let mut metadata = Origin::service("x");
        metadata.name = format!("Service {number:02} 100%_");
        metadata.owner = Some(if number % 2 == 0 { "Even" } else { "Odd" }.to_owned());
        fixture.origin.client(&format!("service-{number:02}"), metadata).await;
    }
    let count = |page: &Page| page.body.matches("data-label=\"Created\"").count();
    let first = root.get("/admin/clients").await;
    assert_eq!(count(&first), 50);
    let next = first.body.split("rel=\"next\"").next().and_then(|before| before.rsplit("href=\"").next());
    let next = next.expect("a link to the next page").split('"').next().expect("a URL").replace("&#38;", "&");
    let second = root.get(&next).await;
    assert_eq!((count(&second), second.body.contains("rel=\"next\"")), (11, false));
    for (search, found) in
        [("EVEN", 30), ("service-07", 1), ("100%25_", 60), ("100%25x", 0), ("%25", 60), ("nothing", 0)]
    {
        let page = root.get(&format!("/admin/clients?search={search}")).await;
        assert_eq!(count(&page), found.min(50), "{search}");
    }
    let page = root.get("/admin/users?search=root%40example").await;
    assert_eq!(count(&page), 1);
    let mut path = "/admin/api/clients?search=service-&limit=25".to_owned();
    let mut ids = Vec::new();
    loop {
        let request = fixture.origin.http.get(fixture.origin.url(&path)).bearer_auth(&fixture.api.token);
        let answer = request.send().await.expect("answered");
        let link = answer.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        let clients: Value = answer.json().await.expect("JSON");
        ids.extend(clients.as_array().expect("clients").iter().map(|client| client["client_id"].clone()));
        let Some(link) = link else { break };
        path = link.trim_start_matches('<').split('>').next().expect("a URL").to_owned();
    }
    let all: Vec<Value> = (0..60).map(|number| json!(format!("service-{number:02}"))).collect();
    assert_eq!(ids, all, "pages of 25");
    for wrong in ["limit=0", "limit=1001", "limit=x"] {
        assert_eq!(fixture.send(Method::GET, &format!("/users?{wrong}"), Value::Null).await.0, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log_is_filtered_and_exported() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    submit_and_follow(&root, "/admin/new/user", &[("name", "=cmd,\"x\"")]).await;
    let page = root.get("/admin/audit?kind=user&action=create").await;
    assert!(page.body.contains("=cmd,&#34;x&#34;") && !page.body.contains("<td data-label=\"Action\">sign in</td>"));
    assert_eq!(root.get("/admin/audit?since=never").await.status, 400);
    let none = root.get("/admin/audit?until=1970-01-02T00%3A00").await;
    assert!(none.status == 200 && none.body.contains("No entries match"));
    for (path, is_page) in [("/admin/audit/export?kind=user", true), ("/admin/api/audit/export?kind=user", false)] {
        let export = async |format: &str| {
            let request = fixture.origin.http.get(fixture.origin.url(&format!("{path}&format={format}")));
            let request = match is_page {
                true => request.header(COOKIE, root.cookies().expect("a session")),
                false => request.bearer_auth(&fixture.api.token),
            };
            let answer = request.send().await.expect("answered");
            (answer.status().as_u16(), answer.headers().clone(), answer.text().await.expect("text"))
        };
        let (status, headers, lines) = export("jsonl").await;
        assert_eq!((status, &headers["content-type"]), (200, &"application/jsonl".parse().expect("a header")));
        assert!(headers["content-disposition"].to_str().expect("text").starts_with("attachment"));
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let api = fixture.read("/audit?kind=user").await;
        assert_eq!(json!(lines), api["entries"]);
        let (_, headers, csv) = export("csv").await;
        assert!(headers["content-type"].to_str().expect("text").starts_with("text/csv"));
        assert_eq!(csv.lines().count(), lines.len() + 1);
        assert!(
            csv.starts_with("id,at,actor,action,kind,name,before,reason\r\n") && csv.contains("\"'=cmd,\"\"x\"\"\""),
            "{csv}"
        );
        assert_eq!(export("xml").await.0, 400);
    }
}
