//! `lbctl explain`: what would happen to a request, and why not something else.

use crate::args::{ExplainArgs, Options};
use crate::failure::{Exit, Failure};
use crate::output::View;
use crate::present::{self, Answered};
use crate::table::{Tone, clean, paint};
use lb_core::status::Explain;
use std::fmt::Write;

/// Asks all replicas what they would do.
pub(crate) fn run(options: &Options, args: &ExplainArgs) -> Result<(), Failure> {
    let path = format!("/api/v1/explain?{}", query(args)?);
    present::show(options, &path, draw, |explained: &Explain| {
        explained.endpoint.iter().cloned().collect()
    })
}

fn query(args: &ExplainArgs) -> Result<String, Failure> {
    let (host, path) = split(&args.target)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("method", &args.method);
    query.append_pair("host", args.host.as_deref().unwrap_or(host));
    query.append_pair("path", path);
    if let Some(client) = args.client {
        query.append_pair("client", &client.to_string());
    }
    for header in &args.headers {
        query.append_pair("header", header);
    }
    Ok(query.finish())
}

/// Host and path of a URL, or of a path alone.
fn split(target: &str) -> Result<(&str, &str), Failure> {
    let rest = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"));
    match rest {
        Some(rest) => Ok(rest
            .find('/')
            .map_or((rest, "/"), |slash| rest.split_at(slash))),
        None if target.starts_with('/') => Ok(("", target)),
        None => Err(Failure::new(
            Exit::Usage,
            format!("\"{target}\" is neither a URL nor a path"),
        )
        .hint("write http://api.example.com/v1/users or /v1/users")),
    }
}

fn draw(answers: &[Answered<Explain>], view: View) -> String {
    let mut drawn = String::new();
    for (admin, explained) in answers {
        if answers.len() > 1 {
            drawn += &format!("# {admin}\n");
        }
        draw_one(&mut drawn, explained, view.colour);
    }
    drawn
}

fn draw_one(drawn: &mut String, explained: &Explain, colour: bool) {
    // Writing to a string can't fail.
    let _ = writeln!(drawn, "{}", clean(&explained.request));
    for (index, step) in explained.steps.iter().enumerate() {
        let _ = writeln!(drawn, "{}. {}", index + 1, clean(&step.step));
        for kept in &step.kept {
            let mark = paint("●", Tone::Good, colour);
            let _ = writeln!(drawn, "   {mark} {}", clean(kept));
        }
        for removed in &step.removed {
            let mark = paint("✖", Tone::Bad, colour);
            let text = format!("{}: {}", removed.what, removed.why);
            let _ = writeln!(drawn, "   {mark} {}", clean(&text));
        }
    }
    let _ = writeln!(drawn, "→ {}", clean(&explained.decision));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn targets_are_urls_or_paths() {
        assert_eq!(
            split("https://a.example:8443/x?y").unwrap(),
            ("a.example:8443", "/x?y")
        );
        assert_eq!(split("http://a.example").unwrap(), ("a.example", "/"));
        assert_eq!(split("/x").unwrap(), ("", "/x"));
        assert_eq!(split("a.example/x").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn steps_show_what_was_kept_and_removed() {
        let answers = [("127.0.0.1:9911".to_owned(), fixtures::explained())];
        insta::assert_snapshot!(draw(&answers, View::default()));
    }
}
