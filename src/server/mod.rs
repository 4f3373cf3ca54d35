//! Assembly of the doors.
