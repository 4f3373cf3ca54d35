//! Templates: `{{name}}` is replaced by text, escaped, or by lines that were made here.
//!
//! Trap: what comes in (a username, an address) is foreign text. It is escaped in every case but one: lines of elements,
//! whose values were escaped when they were made.

/// What stands for a name.
pub(super) enum By<'a> {
    /// Text.
    Text(&'a str),
    /// Elements.
    Lines(&'a str),
}

/// The template with its names replaced.
pub(super) fn fill(template: &str, by: &[(&str, By<'_>)]) -> String {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    // One pass: what was put in is not looked at again, or a username could name another value.
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, behind) = after.split_once("}}").expect("a template closes its names");
        let (_, value) = by.iter().find(|(known, _)| *known == name).expect("a template names what is given");
        match value {
            By::Text(text) => out.push_str(&escaped(text)),
            By::Lines(lines) => out.push_str(lines),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// An element on a line of its own.
pub(super) fn element(indent: usize, name: &str, text: &str) -> String {
    format!("{:indent$}<{name}>{}</{name}>\n", "", escaped(text))
}

/// Text of an element.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_not_read_again() {
        let by = [("a", By::Text("<{{b}}> & 'x'")), ("b", By::Lines("<y/>"))];
        assert_eq!(fill("<p>{{a}}</p>{{b}}", &by), "<p>&lt;{{b}}&gt; &amp; &apos;x&apos;</p><y/>");
    }
}
