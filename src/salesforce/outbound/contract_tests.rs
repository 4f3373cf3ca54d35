//! The parser against the contract: sound messages as trees, spoiled in random ways, judged by a second reading of the
//! WSDL that shares nothing with the parser. Both must agree on the message and on each notification.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Limits, parse};

const SPACES: [(&str, &str); 5] = [
    ("s", "http://schemas.xmlsoap.org/soap/envelope/"),
    ("o", "http://soap.sforce.com/2005/09/outbound"),
    ("f", "urn:sobject.enterprise.soap.sforce.com"),
    ("x", "urn:other"),
    ("xsi", "http://www.w3.org/2001/XMLSchema-instance"),
];

/// An element, its name with a prefix of [`SPACES`].
#[derive(Clone, Debug, Default)]
struct Tree {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Tree>,
}

fn tree(name: &str, children: Vec<Tree>) -> Tree {
    Tree { name: name.to_owned(), children, ..Tree::default() }
}

fn leaf(name: &str, text: &str) -> Tree {
    Tree { name: name.to_owned(), text: text.to_owned(), ..Tree::default() }
}

impl Tree {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn only_attributes(&self, allowed: &[&str]) -> bool {
        self.attributes.iter().all(|(name, _)| allowed.contains(&name.as_str()))
    }

    fn count(&self) -> usize {
        1 + self.children.iter().map(Tree::count).sum::<usize>()
    }

    fn nth(&mut self, n: usize) -> &mut Tree {
        if n == 0 {
            return self;
        }
        let mut left = n - 1;
        for child in &mut self.children {
            let size = child.count();
            if left < size {
                return child.nth(left);
            }
            left -= size;
        }
        unreachable!("less than the count");
    }

    fn write(&self, out: &mut String, root: bool) {
        let _ = write!(out, "<{}", self.name);
        if root {
            for (prefix, space) in SPACES {
                let _ = write!(out, " xmlns:{prefix}=\"{space}\"");
            }
        }
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}=\"{value}\"");
        }
        let _ = write!(out, ">{}", self.text);
        self.children.iter().for_each(|child| child.write(out, false));
        let _ = write!(out, "</{}>", self.name);
    }
}

fn sound(fields: &[u8]) -> Tree {
    let notifications = fields.iter().enumerate().map(|(n, fields)| {
        let mut record = vec![leaf("f:Id", &format!("5005i0000000{n:03}AAA"))];
        let values = [
            ("f:IsDeleted", "false"),
            ("f:LastModifiedById", "0055i000002hGjKAAU"),
            ("f:Subject", "a &lt; b"),
            ("f:SystemModstamp", "2026-11-23T02:41:07.000Z"),
        ];
        let chosen = values.iter().enumerate().filter(|(bit, _)| fields >> bit & 1 == 1);
        record.extend(chosen.map(|(_, (name, value))| leaf(name, value)));
        let record = tree("o:sObject", record).with("xsi:type", "f:Case");
        tree("o:Notification", vec![leaf("o:Id", &format!("04l5i0000000{n:03}AAA")), record])
    });
    let mut inside = vec![
        leaf("o:OrganizationId", "00D5i000000XyZaEAK"),
        leaf("o:ActionId", "04k5i000000TmAbAAK"),
        leaf("o:SessionId", "").with("xsi:nil", "true"),
        leaf("o:EnterpriseUrl", "https://e"),
        leaf("o:PartnerUrl", "https://p"),
    ];
    inside.extend(notifications);
    tree("s:Envelope", vec![tree("s:Body", vec![tree("o:notifications", inside)])])
}

fn blank(text: &str) -> bool {
    text.trim_matches([' ', '\t', '\r', '\n']).is_empty()
}

fn id(text: &str) -> bool {
    (text.len() == 18 || text.len() == 15) && text.chars().all(|letter| letter.is_ascii_alphanumeric())
}

/// A simple value that may not be nil.
fn value(tree: &Tree) -> bool {
    tree.children.is_empty() && tree.attributes.is_empty()
}

/// A simple value that may be nil; then it is empty.
fn nillable(tree: &Tree) -> bool {
    let nil = tree.attribute("xsi:nil");
    let lexical = nil.is_none_or(|nil| ["true", "false", "0", "1"].contains(&nil));
    let empty = !matches!(nil, Some("true" | "1")) || tree.text.is_empty();
    tree.children.is_empty() && tree.only_attributes(&["xsi:nil", "xsi:type"]) && lexical && empty
}

/// `None`: no message. Else whether each notification is sound.
fn judge(root: &Tree) -> Option<Vec<bool>> {
    let names = |tree: &Tree| tree.children.iter().map(|child| child.name.clone()).collect::<Vec<_>>().join(" ");
    let body = root.children.first()?;
    let inside = body.children.first()?;
    let frame = root.name == "s:Envelope" && names(root) == "s:Body" && names(body) == "o:notifications";
    if !frame || ![root, body, inside].iter().all(|tree| blank(&tree.text)) || !inside.attributes.is_empty() {
        return None;
    }
    let order = format!("{} ", names(inside));
    let rest = order.strip_prefix("o:OrganizationId o:ActionId ")?;
    let has_session = rest.starts_with("o:SessionId ");
    let rest = rest.strip_prefix("o:SessionId ").unwrap_or(rest).strip_prefix("o:EnterpriseUrl o:PartnerUrl ")?;
    let count = rest.matches("o:Notification ").count();
    if !(1..=100).contains(&count) || rest.len() != count * "o:Notification ".len() {
        return None;
    }
    let head = 4 + usize::from(has_session);
    let (head, notifications) = inside.children.split_at(head);
    let (organization, action, urls) = (&head[0], &head[1], &head[head.len() - 2..]);
    let ids = value(organization) && id(&organization.text) && organization.text.starts_with("00D");
    let ids = ids && value(action) && id(&action.text);
    if !ids || !urls.iter().all(value) || (has_session && !session(&head[2])) {
        return None;
    }
    Some(notifications.iter().map(notification).collect())
}

fn session(tree: &Tree) -> bool {
    nillable(tree)
}

fn notification(tree: &Tree) -> bool {
    let Some(first) = tree.children.first().filter(|first| first.name == "o:Id") else { return false };
    if !tree.attributes.is_empty() || !blank(&tree.text) || !value(first) || !id(&first.text) {
        return false;
    }
    match &tree.children[1..] {
        [] => true,
        [record] => record.name == "o:sObject" && self::record(record),
        _ => false,
    }
}

fn record(tree: &Tree) -> bool {
    let empty = tree.children.is_empty() && blank(&tree.text);
    if !tree.only_attributes(&["xsi:nil", "xsi:type"]) || matches!(tree.attribute("xsi:nil"), Some("true")) && !empty {
        return false;
    }
    if empty {
        return true;
    }
    let typed = tree.attribute("xsi:type").is_some_and(|name| name.starts_with("f:"));
    let mut names: Vec<&str> = tree.children.iter().map(|child| child.name.as_str()).collect();
    names.sort_unstable();
    let once = names.windows(2).all(|pair| pair[0] != pair[1]);
    let has_id = tree.children.iter().any(|child| child.name == "f:Id" && child.attribute("xsi:nil").is_none());
    typed && blank(&tree.text) && once && has_id && tree.children.iter().all(field)
}

fn field(tree: &Tree) -> bool {
    let Some(name) = tree.name.strip_prefix("f:") else { return false };
    let nil = tree.attribute("xsi:nil") == Some("true");
    let sound = match name {
        "Id" | "LastModifiedById" => id(&tree.text),
        "SystemModstamp" => tree.text.ends_with('Z') && tree.text.contains('T'),
        "IsDeleted" => ["true", "false"].contains(&tree.text.as_str()),
        _ => true,
    };
    nillable(tree) && (nil || sound)
}

#[derive(Clone, Debug)]
enum Spoil {
    Drop,
    Double,
    Swap,
    Rename(&'static str),
    Attribute(&'static str, &'static str),
    Text(&'static str),
    Child(&'static str),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        Just(Spoil::Drop),
        Just(Spoil::Double),
        Just(Spoil::Swap),
        prop::sample::select(vec![
            "o:Notification",
            "o:Id",
            "f:Id",
            "x:Id",
            "o:notifications",
            "s:Body",
            "o:SessionId",
            "o:ActionId",
            "f:Subject",
            "x:Notification",
            "o:sObject",
            "o:PartnerUrl",
            "o:id",
        ])
        .prop_map(Spoil::Rename),
        prop::sample::select(vec![("x:a", "1"), ("a", "1"), ("xsi:nil", "true"), ("xsi:type", "f:Lead"), ("xsi:type", "x:Case")])
            .prop_map(|(name, value)| Spoil::Attribute(name, value)),
        prop::sample::select(vec![
            "",
            " ",
            "words",
            "04l5i0000012QwF",
            "00D5i000000XyZaEA",
            "00D5i000000XyZa",
            "5005i00000KfR1b-AF",
            "true",
            " 5005i00000KfR1bAAF",
            "&#x20;",
        ])
        .prop_map(Spoil::Text),
        prop::sample::select(vec!["x:y", "f:Subject", "o:sObject", "o:Notification"]).prop_map(Spoil::Child),
    ]
}

fn apply(root: &mut Tree, at: usize, spoil: &Spoil) {
    let count = root.count();
    let place = at % count;
    match spoil {
        Spoil::Rename(name) => root.nth(place).name = (*name).to_owned(),
        Spoil::Attribute(name, value) => {
            let attributes = &mut root.nth(place).attributes;
            attributes.retain(|(known, _)| known != name);
            attributes.push(((*name).to_owned(), (*value).to_owned()));
        }
        Spoil::Text(text) => root.nth(place).text = (*text).replace("&#x20;", " "),
        Spoil::Child(name) => root.nth(place).children.push(tree(name, Vec::new())),
        Spoil::Drop | Spoil::Double | Spoil::Swap => {
            let children = &mut root.nth(place).children;
            if children.is_empty() {
                return;
            }
            let child = at / count % children.len();
            match spoil {
                Spoil::Drop => {
                    children.remove(child);
                }
                Spoil::Double => children.insert(child, children[child].clone()),
                _ if child + 1 < children.len() => children.swap(child, child + 1),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn the_parser_takes_what_the_contract_takes_and_nothing_else(
        fields in prop::collection::vec(0u8..16, 1..4),
        spoils in prop::collection::vec((0usize..10_000, spoil()), 0..3),
    ) {
        let mut message = sound(&fields);
        for (at, spoil) in &spoils {
            apply(&mut message, *at, spoil);
        }
        let mut text = String::new();
        message.write(&mut text, true);
        let read = parse(text.as_bytes(), Limits::default());
        let read = read.map(|read| read.notifications.iter().map(Result::is_ok).collect::<Vec<_>>());
        prop_assert_eq!(read.clone().ok(), judge(&message), "{:?} {}", read, text);
        if spoils.is_empty() {
            prop_assert!(judge(&message).is_some_and(|all| all.iter().all(|sound| *sound)));
        }
    }
}
