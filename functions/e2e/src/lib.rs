//! The tests are in `tests/`: all functions together, connected by the template.
