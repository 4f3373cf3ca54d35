//! Whatever a partner or a tracker wrote is shown as text.

use serde_json::json;

use super::visitor::Visitor;
use crate::support::World;

const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_every_field_that_others_write_is_text() {
    let world = World::start().await;
    let case = world.new_case(json!({"Subject": EVIL, "Description": EVIL}));
    world.issue_with(EVIL).await;
    world.public.patch(&format!("/connections/{}", world.connection), json!({"name": EVIL, "description": EVIL})).await;
    let trigger = json!({"entity_type": "Case", "filter": "Subject = '<b>bold</b>'", "notes": EVIL});
    world.public.post(&format!("/connections/{}/triggers", world.connection), trigger).await;
    let admin = Visitor::with_role(&world.public, "admin").await;
    let twin = world.public.twin_of(&case).await.expect("a twin")["id"].as_str().expect("an id").to_owned();
    let id = &world.connection;
    for path in [
        "/connections".to_owned(),
        format!("/connections/{id}"),
        format!("/connections/{id}/delete"),
        format!("/connections/{id}/triggers"),
        format!("/connections/{id}/rules"),
        format!("/connections/{id}/link"),
        "/triggers".to_owned(),
        "/queue".to_owned(),
        "/settings".to_owned(),
        "/settings/tokens".to_owned(),
        "/settings/audit".to_owned(),
        "/twins".to_owned(),
        format!("/twins/{twin}"),
        format!("/twins?key={}", "%3Cscript%3Ealert(1)%3C/script%3E"),
        format!("/errors?code=x&title={}", "%3Cscript%3Ealert(1)%3C/script%3E"),
        format!("/sign-in?next={}", "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E"),
    ] {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.html);
        assert!(!page.says("<script>") && !page.says("<img") && !page.says("<b>bold"), "{path}: {}", page.html);
    }
    assert!(admin.get(&format!("/twins/{twin}")).await.says("&#60;script&#62;alert(1)"), "it is shown, though");
    // An address of a partner's record is a link only where a browser opens it as a page.
    world.stop().await;
}
