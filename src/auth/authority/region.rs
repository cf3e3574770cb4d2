//! Regional token endpoints: which region this is, for an app that runs in Azure and signs in by itself.
//!
//! Source: MSAL's "Regional token endpoints for Microsoft services"; `REGION_NAME` is what Azure Functions and App Service set, and the instance
//! metadata service tells every virtual machine its location.

use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::Env;
use crate::error::{Error, Result};
use crate::transport::{Call, Request, Retry};

/// How long the instance metadata service is waited for: it is on the same machine, or not there at all.
const LIMIT: Duration = Duration::from_secs(2);
/// Where it tells the location (Azure Instance Metadata Service, "compute").
const LOCATION: &str = "http://169.254.169.254/metadata/instance/compute/location?api-version=2021-02-01&format=text";

/// Which region's token endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region {
    /// This one.
    Named(String),
    /// The one that this process runs in.
    Auto,
}

impl Region {
    /// Reads `auto` or a region's name, as `westeurope` or `West Europe`.
    pub fn parse(text: &str) -> Result<Region> {
        match normal(text) {
            Some(name) if name == "auto" => Ok(Region::Auto),
            Some(name) => Ok(Region::Named(name)),
            None => Err(Error::argument(
                format!("region \"{text}\" is not the name of a region"),
                "use a name such as westeurope, or auto",
            )),
        }
    }

    /// The region's name; where it cannot be found, the call is told and goes to the global endpoint.
    pub async fn name(&self, env: &Env, call: &Call) -> Option<String> {
        let name = match self {
            Region::Named(name) => return Some(name.clone()),
            Region::Auto => match env.place.get("REGION_NAME") {
                Some(value) => normal(&value).ok_or_else(|| "REGION_NAME does not hold a region's name".to_owned()),
                None => match env.metadata.region(env.transport.emulator_origin()) {
                    Some(known) => known,
                    None => {
                        // A question that the caller's own limit cut short says nothing about the place.
                        let is_whole = call.deadline >= Instant::now() + LIMIT;
                        let found = from_instance_metadata(env, call).await;
                        if found.is_ok() || is_whole {
                            env.metadata.keep_region(env.transport.emulator_origin(), found.clone());
                        }
                        found
                    }
                },
            },
        };
        match name {
            Ok(name) => Some(name),
            Err(why) => {
                call.verbose(format!("the region is not known ({why}): the global token endpoint is asked"));
                None
            }
        }
    }
}

/// A name that can stand in a host: lower case, without spaces.
fn normal(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (plain && (1..=40).contains(&name.len())).then_some(name)
}

async fn from_instance_metadata(env: &Env, call: &Call) -> std::result::Result<String, String> {
    let call = Call {
        deadline: call.deadline.min(Instant::now() + LIMIT),
        ..call.clone()
    };
    let url = url::Url::parse(LOCATION).map_err(|_| "no address".to_owned())?;
    let request = Request {
        method: "GET",
        url,
        headers: vec![("metadata", Zeroizing::new("true".to_owned()))],
        body: None,
        retry: Retry::Never,
        body_limit: 4096,
        direct: true,
    };
    let answer = env
        .transport
        .send(&call, request)
        .await
        .map_err(|error| error.message().to_owned())?;
    std::str::from_utf8(&answer.body)
        .ok()
        .filter(|_| answer.status == 200)
        .and_then(normal)
        .ok_or_else(|| format!("the instance metadata service answered with HTTP {}", answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_region_becomes_a_part_of_a_host() {
        assert_eq!(Region::parse(" West Europe ").unwrap(), Region::Named("westeurope".into()));
        assert_eq!(Region::parse("Auto").unwrap(), Region::Auto);
        for bad in ["", "evil.example/", "a.b", "a/b", "westeurope#", "\u{440}egion", &"x".repeat(41)] {
            assert!(Region::parse(bad).is_err(), "{bad}");
        }
    }
}
