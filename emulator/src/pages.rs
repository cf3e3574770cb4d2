//! The pages a person sees. Plain HTML forms that work without scripts.

use axum::response::Response;

use crate::aad_error::AadError;
use crate::clock;
use crate::config::{Config, Resource, User};
use crate::consent;
use crate::hosts::Base;
use crate::http::{self, Asked};
use crate::state::Flow;

const STYLE: &str = include_str!("../data/page.css");

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn page(status: u16, title: &str, main: &str, below: &str) -> Response {
    http::html(
        status,
        format!(
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Defender emulator</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<section class="card">
<p class="brand"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2 4 5v6.5c0 5 3.4 8.6 8 10.5 4.6-1.9 8-5.5 8-10.5V5z"/><path class="tick" d="m8.3 12 2.7 2.7 4.8-5.2"/></svg>Defender emulator</p>
{main}
</section>
{below}
<p class="fine">A local stand-in for sign-in. Never type a real password here.</p>
</main>
</body>
</html>
"#,
            title = escape(title),
        ),
    )
}

fn form(flow: &Flow, id: &str, content: &str) -> String {
    let prefix = match &flow.request.asked.base {
        Base::Host(host) => format!("/{host}"),
        Base::Own(_) => String::new(),
    };
    format!(
        r#"<form method="post" action="{}/{}/login">
<input type="hidden" name="flow" value="{}">
{content}
</form>"#,
        escape(&prefix),
        escape(&flow.request.tenant),
        escape(id)
    )
}

fn app_name(config: &Config, flow: &Flow) -> String {
    config.app(&flow.request.client_id).map(|a| escape(&a.name)).unwrap_or_default()
}

/// The list of test users, so that nobody has to look for the file.
fn hints(config: &Config) -> String {
    if !config.behaviour.hints {
        return String::new();
    }
    let rows: String = config
        .tenants
        .iter()
        .flat_map(|t| &t.users)
        .map(|u| {
            let mark = match (u.admin, u.mfa) {
                (true, true) => "administrator, second step",
                (true, false) => "administrator",
                (false, true) => "second step",
                (false, false) => "",
            };
            let mark = if mark.is_empty() {
                String::new()
            } else {
                format!("<br><small>{mark}</small>")
            };
            format!(
                r#"<tr><td><code data-user>{}</code>{mark}</td><td><code data-password>{}</code></td></tr>"#,
                escape(&u.upn),
                escape(&u.password)
            )
        })
        .collect();
    format!(
        r#"<details class="card hints" open><summary>Test users</summary><table><thead><tr><th>User name</th><th>Password</th></tr></thead><tbody>{rows}</tbody></table></details>"#
    )
}

/// User name and password.
pub fn sign_in(config: &Config, flow: &Flow, id: &str, hint: &str, failed: Option<&str>) -> Response {
    let alert = failed
        .map(|text| format!(r#"<p class="alert" role="alert">{}</p>"#, escape(text)))
        .unwrap_or_default();
    let (name_focus, password_focus) = if hint.is_empty() { ("autofocus", "") } else { ("", "autofocus") };
    let content = format!(
        r#"{alert}
<label for="login">User name</label>
<input id="login" name="login" type="text" autocomplete="username" spellcheck="false" placeholder="someone@fabrikam.example" value="{}" required {name_focus}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required {password_focus}>
{BUTTONS_SIGN_IN}"#,
        escape(hint)
    );
    page(
        200,
        "Sign in",
        &format!(
            r#"<h1>Sign in</h1><p class="to">to continue to <strong>{}</strong></p>{}"#,
            app_name(config, flow),
            form(flow, id, &content)
        ),
        &hints(config),
    )
}

// Enter in a field presses the first button of the source, so the main one stands first.
const BUTTONS_SIGN_IN: &str = r#"<div class="buttons"><button type="submit" name="action" value="signin" class="main">Sign in</button><button type="submit" name="action" value="cancel" class="quiet" formnovalidate>Cancel</button></div>"#;

/// Which of the accounts signed in here.
pub fn pick(config: &Config, flow: &Flow, id: &str, users: &[&User]) -> Response {
    let rows: String = users
        .iter()
        .map(|u| {
            let initials: String = [&u.given_name, &u.family_name]
                .iter()
                .filter_map(|n| n.chars().next())
                .collect();
            format!(
                r#"<button type="submit" name="action" value="pick:{}" class="account"><span class="face" aria-hidden="true">{}</span><span><strong>{}</strong><br>{}</span></button>"#,
                escape(&u.upn),
                escape(&initials),
                escape(&u.name()),
                escape(&u.upn)
            )
        })
        .collect();
    let content = format!(
        r#"{rows}<button type="submit" name="action" value="other" class="account"><span class="face" aria-hidden="true">+</span><span>Use another account</span></button>
<div class="buttons"><button type="submit" name="action" value="cancel" class="quiet">Cancel</button></div>"#
    );
    page(
        200,
        "Pick an account",
        &format!(
            r#"<h1>Pick an account</h1><p class="to">to continue to <strong>{}</strong></p>{}"#,
            app_name(config, flow),
            form(flow, id, &content)
        ),
        "",
    )
}

/// The second step.
pub fn approve(_config: &Config, flow: &Flow, id: &str, user: &User) -> Response {
    let content = r#"<div class="buttons"><button type="submit" name="action" value="approve" class="main">Approve</button><button type="submit" name="action" value="cancel" class="quiet">Cancel</button></div>"#;
    page(
        200,
        "Approve sign-in",
        &format!(
            r#"<p class="who">{}</p><h1>Approve sign-in request</h1><p>Your phone would ring now. Press Approve to play its part.</p>{}"#,
            escape(&user.upn),
            form(flow, id, content)
        ),
        "",
    )
}

/// What the app wants to do.
pub fn consent(config: &Config, flow: &Flow, id: &str, user: &User, permissions: &[(&Resource, Vec<String>)]) -> Response {
    let rows: String = permissions
        .iter()
        .flat_map(|(resource, scopes)| {
            consent::describe(resource, scopes)
                .into_iter()
                .map(|p| {
                    format!(
                        "<li><strong>{}</strong><br><span>{} &middot; {}</span></li>",
                        escape(if p.description.is_empty() { &p.value } else { &p.description }),
                        escape(&resource.name),
                        escape(&p.value)
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let for_everyone = flow.request.admin_consent || flow.request.prompt == "admin_consent";
    let everyone = if for_everyone {
        r"<p>Accepting grants this for every user in your organisation.</p>"
    } else if user.admin {
        r#"<label class="check"><input type="checkbox" name="for_all" value="1"> Consent on behalf of your organisation</label>"#
    } else {
        ""
    };
    let content = format!(
        r#"{everyone}<div class="buttons"><button type="submit" name="action" value="accept" class="main">Accept</button><button type="submit" name="action" value="cancel" class="quiet">Cancel</button></div>"#
    );
    page(
        200,
        "Permissions requested",
        &format!(
            r#"<p class="who">{}</p><h1>Permissions requested</h1><p class="to"><strong>{}</strong> would like to:</p><ul class="permissions">{rows}</ul>{}"#,
            escape(&user.upn),
            app_name(config, flow),
            form(flow, id, &content)
        ),
        "",
    )
}

/// The app wants more than this user may grant.
pub fn needs_admin(config: &Config, flow: &Flow, id: &str, user: &User) -> Response {
    let content = r#"<div class="buttons"><button type="submit" name="action" value="other" class="main">Use another account</button><button type="submit" name="action" value="cancel" class="quiet">Return to the application without granting consent</button></div>"#;
    page(
        200,
        "Need admin approval",
        &format!(
            r#"<p class="who">{}</p><h1>Need admin approval</h1><p><strong>{}</strong> needs permission to access resources in your organisation that only an administrator can grant. Please ask an administrator to grant permission to this app before you can use it.</p><p class="code">AADSTS90094</p>{}"#,
            escape(&user.upn),
            app_name(config, flow),
            form(flow, id, content)
        ),
        "",
    )
}

/// Where a person types the code a device shows. `target`: where the form goes.
pub fn device_code(target: &str, typed: &str, failed: Option<&str>) -> Response {
    let alert = failed
        .map(|text| format!(r#"<p class="alert" role="alert">{}</p>"#, escape(text)))
        .unwrap_or_default();
    page(
        200,
        "Sign in to your account",
        &format!(
            r#"<h1>Type the code</h1><p class="to">It is the one your device or app shows. With it, that device gets tokens in your name.</p>
<form method="post" action="{}">{alert}
<label for="otc">Code</label>
<input id="otc" name="otc" type="text" autocomplete="off" spellcheck="false" maxlength="18" value="{}" required autofocus>
<div class="buttons"><button type="submit" name="action" value="next" class="main">Next</button></div></form>"#,
            escape(target),
            escape(typed)
        ),
        "",
    )
}

/// The last question before a device gets its tokens.
pub fn confirm_device(config: &Config, flow: &Flow, id: &str, user: &User) -> Response {
    let content = r#"<div class="buttons"><button type="submit" name="action" value="continue" class="main">Continue</button><button type="submit" name="action" value="cancel" class="quiet">Cancel</button></div>"#;
    page(
        200,
        "Confirm sign-in",
        &format!(
            r#"<p class="who">{}</p><h1>Sign in to {} on a device?</h1><p>Continue only if the code came from a device or app of your own.</p>{}"#,
            escape(&user.upn),
            app_name(config, flow),
            form(flow, id, content)
        ),
        "",
    )
}

/// The end of a device's sign-in.
pub fn device_done(app_name: &str, approved: bool) -> Response {
    let name = escape(app_name);
    let main = if approved {
        format!(r#"<h1>{name}</h1><p class="done" role="status">{name} is signed in on your device. This window can be closed.</p>"#)
    } else {
        format!(r#"<h1>{name}</h1><p class="done" role="status">You declined: {name} is not signed in. This window can be closed.</p>"#)
    };
    page(200, "Sign in", &main, "")
}

/// An error that cannot be sent anywhere.
pub fn error(asked: &Asked, error: &AadError, now: i64) -> Response {
    let main = format!(
        r#"<h1>Sign in</h1><p>Sorry, but we&rsquo;re having trouble signing you in.</p>
<p class="alert" role="alert">AADSTS{}: {}</p>
<h2>Troubleshooting details</h2>
<dl><dt>Request Id</dt><dd>{}</dd><dt>Correlation Id</dt><dd>{}</dd><dt>Timestamp</dt><dd>{}</dd></dl>"#,
        error.code,
        escape(&error.text),
        escape(&asked.trace_id),
        escape(&asked.correlation_id),
        clock::spaced(now),
    );
    page(400, "Sign in", &main, "")
}

/// Posts the answer to the redirect URI. The script presses the button; without scripts a person does.
pub fn form_post(to: &str, answer: &[(&str, String)]) -> Response {
    let fields: String = answer
        .iter()
        .map(|(name, value)| format!(r#"<input type="hidden" name="{}" value="{}">"#, escape(name), escape(value)))
        .collect();
    http::html(
        200,
        format!(
            r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Working...</title></head>
<body><form method="post" action="{}">{fields}<noscript><p>Script is disabled. Click Submit to continue.</p><button type="submit">Submit</button></noscript></form>
<script>document.forms[0].submit();</script></body></html>
"#,
            escape(to)
        ),
    )
}
