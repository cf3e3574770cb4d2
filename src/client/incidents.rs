//! The incident calls of the first ABI, on top of what every call does.

use std::sync::Arc;
use std::time::Duration;

use super::call::Limits;
use super::operation::Running;
use super::request::PreparedRequest;
use crate::defender::calls::{self, Length};
use crate::error::Result;

impl PreparedRequest {
    /// Starts to list incidents; items come as the query asks.
    pub fn list_incidents(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let plan = calls::parse_incident_list(query, false)?;
        self.run(plan, true, Limits::of(timeout, Length::Long), false, self.client().pacing())
    }

    /// Starts to get one page, whole.
    pub(crate) fn one_page(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let plan = calls::parse_incident_list(query, true)?;
        self.run(plan, false, Limits::of(timeout, Length::Short), false, self.client().pacing())
    }

    /// Starts to get one incident; it comes as the only item.
    pub fn get_incident(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let plan = calls::parse_incident(query)?;
        self.run(plan, true, Limits::of(timeout, Length::Short), false, self.client().pacing())
    }
}
