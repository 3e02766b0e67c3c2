//! Load client of the tests: never retries, counts every failure by cause.
