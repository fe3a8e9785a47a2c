// SPDX-License-Identifier: MIT OR Apache-2.0
//! libbpf-sys links libbpf without a search path, which pkg-config provides.

fn main() {
    pkg_config::Config::new().atleast_version("1.0").probe("libbpf").expect("pkg-config libbpf");
}
