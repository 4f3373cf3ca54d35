//! The frame of the sandbox pages: one style for light and dark, no scripts.

/// Escapes text for HTML, also inside attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent); --accent: light-dark(#0b5cab, #78b4f5); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } pre { padding: .8rem 1rem; overflow-x: auto; background: var(--soft); border-radius: .4rem; font-size: .85rem; } header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; margin-bottom: 1.25rem; }
header p { margin: 0; opacity: .7; } a { color: var(--accent); }
table { width: 100%; border-collapse: collapse; } th, td { text-align: left; padding: .5rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; font-size: .85rem; opacity: .75; } tbody tr:hover { background: var(--soft); }
form.card { display: grid; gap: .75rem; padding: 1rem; margin: 1.25rem 0; border: 1px solid var(--line); border-radius: .6rem; }
label { display: grid; gap: .2rem; font-size: .85rem; } input, select, textarea { font: inherit; padding: .45rem .6rem; border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit; width: 100%; }
option { background: Canvas; color: CanvasText; } textarea { min-height: 6rem; } .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; }
button { font: inherit; padding: .45rem .9rem; border: 1px solid var(--accent); border-radius: .4rem; background: var(--accent); color: Canvas; cursor: pointer; justify-self: start; }
button.plain { background: transparent; color: inherit; border-color: var(--line); } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.empty, .note { opacity: .75; padding: 1rem 0; } .error { padding: .6rem .8rem; border: 1px solid #c33; border-radius: .4rem; }
@media (max-width: 36rem) { th:nth-child(n+4), td:nth-child(n+4) { display: none; } }
";

/// A whole page. `refresh` makes it load itself again every few seconds: only where nothing is being typed.
pub(super) fn frame(title: &str, about: &str, refresh: bool, body: &str) -> String {
    let again = if refresh { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">{again}\
         <title>{0}</title><style>{STYLE}</style></head><body><header><h1>{0}</h1><p>{1}</p></header><main>{body}</main></body></html>",
        escape(title),
        escape(about)
    )
}

/// A line of text to fill in.
pub(super) fn input(label: &str, name: &str, value: &str) -> String {
    format!("<label>{}<input name=\"{}\" value=\"{}\" maxlength=\"255\"></label>", escape(label), escape(name), escape(value))
}

/// Many lines to fill in.
pub(super) fn area(label: &str, name: &str, value: &str) -> String {
    format!("<label>{}<textarea name=\"{}\">\n{}</textarea></label>", escape(label), escape(name), escape(value))
}

/// A choice; a value that is not listed stays choosable.
pub(super) fn select(label: &str, name: &str, value: &str, choices: &[String]) -> String {
    let mut all = choices.to_vec();
    if !all.iter().any(|choice| choice == value) {
        all.insert(0, value.to_owned());
    }
    let options = all.iter().map(|choice| {
        let chosen = if choice == value { " selected" } else { "" };
        format!("<option value=\"{0}\"{chosen}>{0}</option>", escape(choice))
    });
    format!("<label>{}<select name=\"{}\">{}</select></label>", escape(label), escape(name), options.collect::<String>())
}

/// Whether a form may have come from this very page: another site's may not act here.
pub(super) fn same_site(request: &actix_web::HttpRequest) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or_default();
    let origin_fits = header("origin").is_none_or(|origin| origin.split("//").nth(1) == Some(host));
    origin_fits && header("sec-fetch-site").is_none_or(|site| site != "cross-site")
}
