//! The `$filter` language, as much of it as the service takes.

use crate::clock::{self, Ticks};

/// A filter that can be asked of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// Either.
    Or(Box<Filter>, Box<Filter>),
    /// Negated.
    Not(Box<Filter>),
    /// A comparison.
    Is(String, Op, Literal),
    /// One of several.
    In(String, Vec<Literal>),
    /// The field begins with the text; case does not count.
    Starts(String, String),
    /// One of the field's texts is this one.
    Any(String, String),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// A value in a filter or a record.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Literal {
    Null,
    Text(String),
    Time(Ticks),
    Number(f64),
    Flag(bool),
    List(Vec<String>),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    Time,
    Number,
    Flag,
    /// A list of texts, asked with `any`.
    List,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

/// Parses a filter over the given fields. The error is the service's sentence.
pub fn parse(text: &str, fields: &[(&str, Type)]) -> Result<Filter, String> {
    parse_with(text, fields, false)
}

/// The same, where `startswith` and `any` are taken too.
pub fn parse_with(text: &str, fields: &[(&str, Type)], functions: bool) -> Result<Filter, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        fields,
        depth: 0,
        functions,
    };
    let filter = parser.or()?;
    match parser.tokens.get(parser.at) {
        None => Ok(filter),
        Some(rest) => Err(format!("Syntax error in '$filter' near '{}'.", name(rest))),
    }
}

fn name(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("'{text}'"),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Comma => ",".to_owned(),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '(' | ')' | ',' => {
                chars.next();
                out.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => {
                            return Err("There is an unterminated string literal in '$filter'.".to_owned());
                        }
                    }
                }
                out.push(Token::Text(value));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '(' | ')' | ',' | '\'') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    fields: &'a [(&'a str, Type)],
    depth: usize,
    functions: bool,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, String> {
        let token = self
            .tokens
            .get(self.at)
            .cloned()
            .ok_or("Expression expected at the end of '$filter'.")?;
        self.at += 1;
        Ok(token)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w == word);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, token: &Token) -> Result<(), String> {
        let found = self.next()?;
        if found == *token {
            Ok(())
        } else {
            Err(format!(
                "Syntax error in '$filter': '{}' expected near '{}'.",
                name(token),
                name(&found)
            ))
        }
    }

    fn or(&mut self) -> Result<Filter, String> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, String> {
        let mut left = self.unary()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > 100 {
            return Err("The node count limit of '100' has been exceeded.".to_owned());
        }
        let filter = if self.word("not") {
            Filter::Not(Box::new(self.unary()?))
        } else if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or()?;
            self.take(&Token::Close)?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn word_of(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(format!("Syntax error in '$filter' near '{}'.", name(&other))),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            other => Err(format!("A string literal is expected near '{}'.", name(&other))),
        }
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        let field = match self.next()? {
            Token::Word(word) => word,
            other => {
                return Err(format!("Syntax error in '$filter' near '{}'.", name(&other)));
            }
        };
        if self.functions && self.tokens.get(self.at) == Some(&Token::Open) {
            if field == "startswith" {
                self.at += 1;
                let name = self.word_of()?;
                self.take(&Token::Comma)?;
                let text = self.text()?;
                self.take(&Token::Close)?;
                return Ok(Filter::Starts(name, text));
            }
            if let Some(name) = field.strip_suffix("/any") {
                self.at += 1;
                let variable = self.word_of()?;
                let (again, eq) = (self.word_of()?, self.word_of()?);
                if variable.strip_suffix(':') != Some(again.as_str()) || eq != "eq" {
                    return Err(format!("Syntax error in '$filter' near '{variable}'."));
                }
                let text = self.text()?;
                self.take(&Token::Close)?;
                return Ok(Filter::Any(name.to_owned(), text));
            }
        }
        if self.tokens.get(self.at) == Some(&Token::Open) && !self.fields.iter().any(|(n, _)| *n == field) {
            return Err(format!("The function '{field}' is not supported in '$filter'."));
        }
        let Some(kind) = self.fields.iter().find(|(n, _)| *n == field).map(|(_, kind)| *kind) else {
            return Err(format!("The property '{field}' cannot be used in the $filter query option."));
        };
        let operator = match self.next()? {
            Token::Word(word) => word,
            other => {
                return Err(format!("Syntax error in '$filter' near '{}'.", name(&other)));
            }
        };
        if operator == "in" {
            self.take(&Token::Open)?;
            let mut values = vec![self.literal(&field, kind)?];
            loop {
                match self.next()? {
                    Token::Comma => values.push(self.literal(&field, kind)?),
                    Token::Close => return Ok(Filter::In(field, values)),
                    other => {
                        return Err(format!("Syntax error in '$filter' near '{}'.", name(&other)));
                    }
                }
            }
        }
        let op = match operator.as_str() {
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "gt" => Op::Gt,
            "ge" => Op::Ge,
            "lt" => Op::Lt,
            "le" => Op::Le,
            other => {
                return Err(format!("The operator '{other}' is not supported in '$filter'."));
            }
        };
        let value = self.literal(&field, kind)?;
        Ok(Filter::Is(field, op, value))
    }

    fn literal(&mut self, field: &str, kind: Type) -> Result<Literal, String> {
        let token = self.next()?;
        let time = |text: &str| {
            clock::parse_ticks(text)
                .map(Literal::Time)
                .ok_or_else(|| format!("The value '{text}' is not a valid DateTimeOffset for '{field}' in '$filter'."))
        };
        match (token, kind) {
            (Token::Word(word), _) if word == "null" => Ok(Literal::Null),
            (Token::Text(text), Type::Text) => Ok(Literal::Text(text)),
            (Token::Text(text) | Token::Word(text), Type::Time) => time(&text),
            (Token::Word(word), Type::Number) => word
                .parse()
                .map(Literal::Number)
                .map_err(|_| format!("The value '{word}' is not a number for '{field}' in '$filter'.")),
            (Token::Word(word), Type::Flag) if word == "true" || word == "false" => Ok(Literal::Flag(word == "true")),
            (other, Type::Number | Type::Flag | Type::List) => Err(format!(
                "A binary operator with incompatible types was detected near '{}' for '{field}'.",
                name(&other)
            )),
            (other, Type::Text) => Err(format!(
                "A binary operator with incompatible types was detected near '{}': '{field}' is a string and needs quotes.",
                name(&other)
            )),
            (other, Type::Time) => Err(format!("Syntax error in '$filter' near '{}'.", name(&other))),
        }
    }
}

impl Filter {
    /// Whether it asks for this field.
    pub fn asks_for(&self, field: &str) -> bool {
        match self {
            Self::And(a, b) | Self::Or(a, b) => a.asks_for(field) || b.asks_for(field),
            Self::Not(inner) => inner.asks_for(field),
            Self::Is(name, ..) | Self::In(name, _) | Self::Starts(name, _) | Self::Any(name, _) => name == field,
        }
    }

    /// Whether a record passes.
    pub fn passes(&self, field: &impl Fn(&str) -> Literal) -> bool {
        match self {
            Self::And(a, b) => a.passes(field) && b.passes(field),
            Self::Or(a, b) => a.passes(field) || b.passes(field),
            Self::Not(inner) => !inner.passes(field),
            Self::In(name, values) => values.contains(&field(name)),
            Self::Starts(name, start) => match field(name) {
                Literal::Text(text) => text.to_lowercase().starts_with(&start.to_lowercase()),
                _ => false,
            },
            Self::Any(name, wanted) => match field(name) {
                Literal::List(texts) => texts.contains(wanted),
                _ => false,
            },
            Self::Is(name, op, value) => {
                let have = field(name);
                let same = have == *value;
                // Order against null is false both ways.
                let order = if have == Literal::Null || *value == Literal::Null {
                    None
                } else {
                    have.partial_cmp(value)
                };
                match op {
                    Op::Eq => same,
                    Op::Ne => !same,
                    Op::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
                    Op::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
                    Op::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
                    Op::Le => order.is_some_and(std::cmp::Ordering::is_le),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[(&str, Type)] = &[("status", Type::Text), ("lastUpdateTime", Type::Time)];

    fn passes(text: &str, status: &str, time: &str) -> bool {
        parse(text, FIELDS).unwrap().passes(&|name| match name {
            "status" => Literal::Text(status.to_owned()),
            _ => Literal::Time(clock::parse_ticks(time).unwrap()),
        })
    }

    #[test]
    fn filters_mean_what_they_say() {
        let time = "2026-09-14T07:31:02.41Z";
        for yes in [
            "status eq 'Active'",
            "not (status eq 'Resolved') and lastUpdateTime ge 2026-09-14T07:31:02.4100000Z",
            "status eq 'Resolved' or status eq 'Active' and lastUpdateTime gt 2026-01-01",
            "status in ('Resolved','Active')",
            "lastUpdateTime lt '2026-09-14T09:31:02.4100001+02:00'",
            "status ne null",
        ] {
            assert!(passes(yes, "Active", time), "{yes}");
        }
        assert!(!passes(
            "(status eq 'Active' or status eq 'x') and status eq 'Resolved'",
            "Active",
            time
        ));
        assert!(passes("status eq 'it''s'", "it's", time));
    }

    #[test]
    fn what_the_service_does_not_take_is_named() {
        for (text, word) in [
            ("severity eq 'High'", "severity"),
            ("status like 'A'", "like"),
            ("startswith(status,'A')", "startswith"),
            ("status eq Active", "Active"),
            ("status eq 'Active", "unterminated"),
            ("lastUpdateTime ge yesterday", "yesterday"),
            ("status eq 'A' status", "status"),
            ("status eq", "end"),
            ("", "end"),
            (&"(".repeat(5_000), "limit"),
        ] {
            let error = parse(text, FIELDS).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
