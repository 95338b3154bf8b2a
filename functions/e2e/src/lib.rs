//! The tests are in `tests/`: all functions together, wired as the template says.
