//! The cache against a plain list that does the same slowly: however many entries lie under a key, the same one is found, or none.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use defender_xdr::auth::authority::{Authority, Given};
use defender_xdr::auth::cache::{Account, Cache, Key};
use defender_xdr::auth::credential::CredentialDocument;
use defender_xdr::auth::token::Token;
use defender_xdr::auth::{CacheUse, Grant, ManagedIdentity, SignIn, Target, UserHint, UserIdType};
use defender_xdr::secret::Secret;
use serde_json::json;

const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";
const CLIENT: &str = "22869222-3c51-4d11-ad15-99b70e71c548";

/// Numbers that are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn authority() -> Authority {
    Authority::new(&Given {
        authority: Some(&format!("https://login.microsoftonline.com/{TENANT}")),
        ..Given::default()
    })
    .unwrap()
}

fn sign_in(resource: u64) -> SignIn {
    SignIn {
        grant: Grant::DeviceCode,
        authority: authority(),
        names_authority: true,
        client_id: CLIENT.to_owned(),
        target: Target::Resource(format!("https://resource-{resource}.example")),
        redirect_uri: None,
        prompt: None,
        cache: CacheUse::Read,
        user: None,
        login_hint: None,
        domain_hint: None,
        extra_query: Vec::new(),
        claims: None,
        expiry_margin: 300,
        interactive: false,
        username: None,
        credential: CredentialDocument::default(),
        identity: ManagedIdentity::System,
        capabilities: Vec::new(),
        extra_scopes: Vec::new(),
        names_redirect: false,
        correlation_id: None,
    }
}

/// One access token of the plain list.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    resource: u64,
    person: Option<u64>,
    login: Option<String>,
    expires_on: i64,
    value: String,
}

/// One refresh token of it.
#[derive(Clone, Debug, PartialEq)]
struct Renewal {
    person: u64,
    value: String,
}

fn name_of(person: u64) -> String {
    format!("Person{person}@Contoso.example")
}

fn token(value: &str, person: Option<u64>, now: i64, expires_on: i64) -> Arc<Token> {
    let user = person.map(|n| json!({"unique_id": format!("oid-{n}"), "displayable_id": name_of(n), "username": name_of(n), "home_account_id": format!("oid-{n}.{TENANT}")}));
    let description = json!({
        "token_type": "Bearer", "expires_on": expires_on, "extended_expires_on": null, "acquired_on": now, "refresh_on": null,
        "authority": "https://login.microsoftonline.com/x/", "tenant_id": null, "client_id": CLIENT, "resource": null, "scopes": [], "missing_scopes": [],
        "dialect": "v1", "grant": "device_code", "source": "network", "correlation_id": "", "has_id_token": false, "user": user,
    });
    let description = serde_json::from_value(description).unwrap();
    Arc::new(Token::from_kept(&Secret::new(value.to_owned()), None, description))
}

struct Both {
    cache: Cache,
    entries: Vec<Entry>,
    renewals: Vec<Renewal>,
    now: i64,
    made: u64,
}

impl Both {
    fn put(&mut self, numbers: &mut Numbers, people: u64) {
        let resource = numbers.below(4);
        // Some services do not say who they gave a token to.
        let who = numbers.below(people);
        let (person, login) = match numbers.below(8) {
            0 => (None, Some(name_of(who).to_lowercase())),
            1 => (None, None),
            _ => (Some(who), None),
        };
        self.made += 1;
        let value = format!("token-{}", self.made);
        let expires_on = self.now + i64::try_from(numbers.below(3600)).unwrap();
        let mut sign_in = sign_in(resource);
        sign_in.login_hint.clone_from(&login);
        let key = Key::new(&sign_in, None, "", false);
        let token = token(&value, person, self.now, expires_on);
        let refresh = person.filter(|_| numbers.one_in(2)).map(|person| Renewal {
            person,
            value: format!("refresh-{}", self.made),
        });
        let secret = refresh.as_ref().map(|refresh| Secret::new(refresh.value.clone()));
        let spent = self.renewals.iter().find(|old| Some(old.person) == person);
        let spent = spent.map(|old| Secret::new(old.value.clone()));
        self.cache
            .store(&key, &token, (secret.as_ref(), spent.as_ref()), self.cache.epoch(), self.now);
        self.entries
            .retain(|old| !(old.resource == resource && old.person == person && (person.is_some() || old.login == login)));
        self.entries.push(Entry {
            resource,
            person,
            login,
            expires_on,
            value,
        });
        if let Some(refresh) = refresh {
            self.renewals.retain(|old| old.person != refresh.person);
            self.renewals.push(refresh);
        }
    }

    fn look(&self, numbers: &mut Numbers, people: u64) {
        let mut sign_in = sign_in(numbers.below(4));
        let person = numbers.below(people);
        match numbers.below(5) {
            0 => {}
            1 => sign_in.login_hint = Some(name_of(person)),
            2 => sign_in.login_hint = Some(name_of(person).to_uppercase()),
            3 => {
                sign_in.user = Some(UserHint {
                    id: format!("oid-{person}"),
                    kind: UserIdType::UniqueId,
                });
            }
            _ => {
                sign_in.user = Some(UserHint {
                    id: name_of(person).to_lowercase(),
                    kind: UserIdType::RequiredDisplayableId,
                });
            }
        }
        let key = Key::new(&sign_in, None, "", false);
        let resource = match &sign_in.target {
            Target::Resource(resource) => resource.clone(),
            Target::Scopes(_) => panic!(),
        };
        let login = sign_in.login_hint.as_ref().map(|hint| hint.to_lowercase());
        let named = sign_in.login_hint.is_some() || sign_in.user.is_some();
        let fitting: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| resource == format!("https://resource-{}.example", entry.resource) && entry.expires_on - self.now > 300)
            .filter(|entry| match entry.person {
                Some(one) => !named || one == person,
                None => sign_in.user.is_none() && (login.is_none() || login == entry.login),
            })
            .collect();
        match self.cache.find(&key, &sign_in, self.now) {
            Ok(found) => {
                assert!(fitting.len() < 2, "{fitting:?}");
                assert_eq!(
                    found.as_deref().map(Token::value),
                    fitting.first().map(|entry| entry.value.as_str())
                );
            }
            Err(error) => {
                assert_eq!(error.oauth_error(), Some("multiple_matching_tokens_detected"));
                assert!(fitting.len() > 1);
            }
        }
        let renewals: Vec<&Renewal> = self.renewals.iter().filter(|renewal| !named || renewal.person == person).collect();
        match self.cache.find_renewal(&key, &sign_in) {
            Ok(found) => {
                assert!(renewals.len() < 2);
                let found = found.map(|found| (found.account, found.token.expose().to_owned()));
                let wanted = renewals
                    .first()
                    .map(|one| (format!("oid-{}.{TENANT}", one.person), one.value.clone()));
                assert_eq!(found, wanted);
            }
            Err(_) => assert!(renewals.len() > 1),
        }
    }

    fn lose(&mut self, numbers: &mut Numbers, people: u64) {
        match numbers.below(20) {
            0 => {
                self.cache.clear(self.now);
                self.entries.clear();
                self.renewals.clear();
            }
            1..4 => {
                let person = numbers.below(people);
                let account = Account {
                    emulator: None,
                    cloud: sign_in(0).authority.cloud(),
                    id: format!("oid-{person}.{TENANT}"),
                };
                self.cache.remove_account(&account, self.now);
                self.entries.retain(|entry| entry.person != Some(person));
                self.renewals.retain(|renewal| renewal.person != person);
            }
            4..8 if !self.renewals.is_empty() => {
                let at = usize::try_from(numbers.below(u64::try_from(self.renewals.len()).unwrap())).unwrap();
                let refused = self.renewals.remove(at);
                let key = Key::new(&sign_in(numbers.below(4)), None, "", false);
                self.cache.drop_renewal(&key, &Secret::new(refused.value), self.now);
            }
            _ if !self.entries.is_empty() => {
                let at = usize::try_from(numbers.below(u64::try_from(self.entries.len()).unwrap())).unwrap();
                let refused = self.entries.remove(at);
                let mut sign_in = sign_in(refused.resource);
                sign_in.login_hint = match refused.person {
                    Some(person) => numbers.one_in(2).then(|| name_of(person)),
                    None => refused.login,
                };
                let key = Key::new(&sign_in, None, "", false);
                self.cache.drop_token(&key, &sign_in, &refused.value, self.now);
            }
            _ => {}
        }
    }
}

#[test]
fn any_number_of_entries_answers_as_a_plain_list_does() {
    for (people, rounds) in [(2, 1000), (12, 3000), (60, 6000)] {
        for seed in 0..3 {
            let mut numbers = Numbers(seed);
            let mut both = Both {
                cache: Cache::with_key(&[7; 32]),
                entries: Vec::new(),
                renewals: Vec::new(),
                now: 1_790_000_000,
                made: 0,
            };
            for _ in 0..rounds {
                match numbers.below(8) {
                    0..3 => both.put(&mut numbers, people),
                    3 if numbers.one_in(people / 2) => both.lose(&mut numbers, people),
                    4 => both.now += i64::try_from(numbers.below(60)).unwrap(),
                    _ => both.look(&mut numbers, people),
                }
            }
            // What has expired is not kept for long: each change looks at some of the rest.
            for _ in 0..people * 20 {
                both.put(&mut numbers, people);
            }
            both.now += 10_000;
            for n in 0..people * 40 {
                both.put(&mut Numbers(n), 1);
            }
            let (access, _) = both.cache.entries();
            assert!(access.len() <= 12 + 4, "{} entries are left", access.len());
        }
    }
}
