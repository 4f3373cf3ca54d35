//! Texts between notations: what comes through, what is lost, what never comes out.

use proptest::prelude::*;

use super::super::notation::convert;

const ALL: [&str; 5] = ["html", "markdown", "plain", "textile", "wiki"];

fn one(from: &str, to: &str, text: &str) -> String {
    convert(from, to, text).expect("short enough")
}

/// One text in all notations that can say it; each is turned into each other.
#[test]
fn what_all_can_say_comes_through_all() {
    for [html, markdown, textile, wiki] in [
        ["<p>one</p><p>two</p>", "one\n\ntwo", "one\n\ntwo", "one\n\ntwo"],
        ["<p>a<br>b</p>", "a\\\nb", "a\nb", "a\nb"],
        ["<h2>Head</h2><p>text</p>", "## Head\n\ntext", "h2. Head\n\ntext", "h2. Head\n\ntext"],
        [
            "<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e_f</code></p>",
            "a **b** *c* ~~d~~ `e_f`",
            "a *b* _c_ -d- @e_f@",
            "a *b* _c_ -d- {{e_f}}",
        ],
        ["<p><strong>a <em>b</em></strong></p>", "**a *b***", "*a _b_*", "*a _b_*"],
        [
            "<p>see <a href=\"https://acme.example/a?b=1&amp;c=2\">the page</a>.</p>",
            "see [the page](https://acme.example/a?b=1&c=2).",
            "see \"the page\":https://acme.example/a?b=1&c=2.",
            "see [the page|https://acme.example/a?b=1&c=2].",
        ],
        [
            "<p><img src=\"https://acme.example/a.png\" alt=\"pump\"></p>",
            "![pump](https://acme.example/a.png)",
            "!https://acme.example/a.png(pump)!",
            "!https://acme.example/a.png|alt=pump!",
        ],
        ["<ul><li>a</li><li>b</li></ul>", "- a\n- b", "* a\n* b", "* a\n* b"],
        ["<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n   - b\n2. c", "# a\n** b\n# c", "# a\n** b\n# c"],
        ["<p>a</p><hr><p>b</p>", "a\n\n---\n\nb", "a\n\n---\n\nb", "a\n\n----\n\nb"],
        [
            "<pre><code class=\"language-js\">if (a &lt; b) {\n  c();\n}</code></pre>",
            "```js\nif (a < b) {\n  c();\n}\n```",
            "<pre><code class=\"js\">\nif (a &lt; b) {\n  c();\n}\n</code></pre>",
            "{code:js}\nif (a < b) {\n  c();\n}\n{code}",
        ],
        ["<blockquote><p>said</p></blockquote>", "> said", "bq. said", "{quote}\nsaid\n{quote}"],
        [
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "| a | b |\n| --- | --- |\n| 1 | 2 |",
            "|_. a |_. b |\n| 1 | 2 |",
            "||a ||b ||\n|1 |2 |",
        ],
        [
            "<p>2 * 3 - 1 &lt; 4_5 &amp; more</p>",
            "2 \\* 3 - 1 \\< 4_5 & more",
            "2 * 3 - 1 &lt; 4_5 &amp; more",
            "2 * 3 - 1 < 4_5 &amp; more",
        ],
    ] {
        let texts = [("html", html), ("markdown", markdown), ("textile", textile), ("wiki", wiki)];
        for (from, text) in texts {
            for (to, expected) in texts {
                let made = one(from, to, text);
                // Notations may differ in how they write the same; what counts is what it says as HTML.
                let (made, expected) = if from == to || to == "html" || from == "html" {
                    (tidy(&made), tidy(expected))
                } else {
                    (tidy(&one(to, "html", &made)), tidy(html))
                };
                assert_eq!(made, expected, "{from} → {to}: {text}");
            }
        }
    }
}

/// Line ends between blocks, and parts of a table that all may have, say nothing.
fn tidy(text: &str) -> String {
    let text = ["<thead>", "</thead>", "<tbody>", "</tbody>"].iter().fold(text.to_owned(), |text, tag| text.replace(tag, ""));
    text.replace(">\n<", "><")
        .replace("\n</", "</")
        .replace("<li>\n", "<li>")
        .replace("<br>\n", "<br>")
        .replace("a\n<ul>", "a<ul>")
}

#[test]
fn what_a_notation_cannot_say_is_lost_and_its_text_is_not() {
    for (from, to, text, lost) in [
        ("html", "markdown", "<p><u>under</u> H<sub>2</sub>O x<sup>2</sup></p>", "under H2O x2"),
        ("html", "wiki", "<p style='color:red'>red <span class=x>span</span> <font size=9>font</font></p>", "red span font"),
        (
            "html",
            "plain",
            "<h1>Head</h1><p><b>bold</b> <a href='https://a.example'>link</a></p>",
            "Head\n\nbold link (https://a.example)",
        ),
        ("html", "plain", "<ul><li>a</li><li>b<ol><li>c</li></ol></li></ul>", "- a\n- b\n  1. c"),
        ("html", "plain", "<table><tr><td>a</td><td>b</td></tr></table>", "a | b"),
        ("html", "plain", "a&nbsp;&amp;&lt;b&gt;<!-- c --><style>d{}</style><title>e</title>", "a\u{a0}&<b>"),
        ("html", "plain", "<p>half <b>open", "half open"),
        ("html", "plain", "<div>one</div><div>two<br><br>three</div>", "one\n\ntwo\n\nthree"),
        ("markdown", "plain", "# Head\n\n*a* **b** [c](https://a.example)\n\n> d", "Head\n\na b c (https://a.example)\n\n> d"),
        (
            "wiki",
            "plain",
            "h1. Head\n\n*a* {{b}} [https://a.example]\n{quote}\nc\n{quote}",
            "Head\n\na b https://a.example\n\n> c",
        ),
        ("textile", "plain", "h1. Head\n\n*a* @b@ \"c\":https://a.example", "Head\n\na b c (https://a.example)"),
        ("plain", "html", "a < b\nc\n\n\nd", "<p>a &lt; b<br>c</p><p>d</p>"),
        ("plain", "markdown", "1. not a list\n\n# no *head*", "1\\. not a list\n\n\\# no \\*head\\*"),
        ("plain", "wiki", "{code} *a* [b] a-b - c", "\\{code\\} \\*a\\* \\[b\\] a-b - c"),
        ("plain", "textile", "*a* \"b\" <pre>", "&#42;a&#42; &#34;b&#34; &lt;pre>"),
        ("wiki", "html", "a\\\\b \\*c\\* {noformat}", "<p>a<br>b *c* {noformat}</p>"),
        ("wiki", "html", "*not closed _nor this", "<p>*not closed _nor this</p>"),
        ("wiki", "html", "{panel:title=x}\ntext\n{panel}", "<p>{panel:title=x}<br>text<br>{panel}</p>"),
    ] {
        assert_eq!(one(from, to, text), lost, "{from} → {to}: {text}");
    }
}

#[test]
fn scripts_never_come_out() {
    let evil = [
        (
            "html",
            "<script>alert(1)</script><p onclick='x()'>a</p><a href='javascript:x()'>b</a><iframe src='//x'></iframe><svg onload=x()>",
        ),
        ("markdown", "<script>alert(1)</script>\n\n[a](javascript:x()) ![b](javascript:x()) <img src=x onerror=x()>"),
        ("wiki", "[a|javascript:x()] <script>alert(1)</script> !javascript:x()! [b|https://a.example/\"onclick=\"x()]"),
        ("textile", "\"a\":javascript:x() <script>alert(1)</script> <pre><code class=\"\"><img src=x onerror=x()></code></pre>"),
    ];
    for (from, text) in evil {
        let html = one(from, "html", text);
        for bad in ["<script", "onclick=", "onerror=x()>", "onload=", "\"javascript:", "<iframe", "<svg"] {
            let harmless = html.replace("&lt;", "").replace("onclick=&quot;", "");
            assert!(!harmless.contains(bad), "{from}: {html}");
        }
    }
}

#[test]
fn a_long_text_is_refused_and_a_deep_one_ends() {
    assert!(convert("html", "plain", &"x".repeat(300_000)).is_err_and(|why| why.contains("300000 bytes")));
    for (from, text) in [
        ("html", "<b><div>".repeat(500)),
        ("html", "<ul><li>".repeat(500)),
        ("markdown", "> ".repeat(2_000)),
        ("markdown", "*a **b ".repeat(500)),
        ("wiki", "*a _b ".repeat(500)),
        ("wiki", "{quote}\n".repeat(500)),
        ("textile", format!("{} x", "*".repeat(2_000))),
        ("wiki", "[".repeat(2_000)),
        ("textile", "\"".repeat(2_000)),
    ] {
        let began = std::time::Instant::now();
        for to in ALL {
            one(from, to, &text);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{from} {text:.20} took {:?}", began.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_comes_back_from_any_notation(text in "[a-zA-Z0-9 *_+~^\\-\\[\\]{}|\\\\!@#<>&\"'.:()]{0,60}") {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for to in ["html", "markdown", "textile", "wiki"] {
            let there = one("plain", to, &text);
            prop_assert_eq!(one(to, "plain", &there), words.clone(), "{}: {}", to, there);
        }
    }

    #[test]
    fn nothing_makes_a_reader_stumble(text in any::<String>()) {
        for from in ALL {
            for to in ALL {
                one(from, to, &text);
            }
        }
    }
}
