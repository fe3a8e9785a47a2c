# SPDX-License-Identifier: MIT OR Apache-2.0
# Packages. Not in the source archive: they are built from a commit.

# ---- Releasing ---------------------------------------------------------------------------------
.PHONY: dist
dist: ## make the source archive, which builds offline, in target/dist
	@tools/need build dist
	@packaging/dist $(TARGET)/dist

.PHONY: deb
deb: ## build the Debian packages in target/deb
	@tools/need build dist deb
	@packaging/deb $(TARGET)/deb

.PHONY: rpm
rpm: ## build the RPM packages in target/rpm
	@tools/need build dist rpm
	@packaging/rpm/build $(TARGET)/rpm

more_checks += "source archive, packages" \
	"tests/pytest tests/installed/test_packages.py tests/installed/test_rpm.py"
