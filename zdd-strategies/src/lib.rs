//! Rolling, blue-green and canary strategies as pure decision functions, with health gates.
