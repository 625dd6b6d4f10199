package import JOSE

/// Reading the configuration again while the broker serves.
package protocol RuleReloading: Sendable {
    /// Reads and checks the whole configuration, and puts its rules, issuers and trust domains into force: all or none.
    /// - Parameter isRehearsal: whether nothing is put into force or recorded, and only the answer is the same.
    /// - Throws: `.invalid` with every error, a line each; what was in force stays.
    func reload(
        isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.ConfigurationDifference
}

extension AdministrationAPI {
    /// What a reload changed.
    package struct ConfigurationDifference: Sendable, Hashable {
        package var rules: Names
        package var issuers: Names
        package var trustDomains: Names
        /// What else changed and needs a restart, and what `daypassd check` warns of.
        package var warnings: [String]
        /// What would take back what was granted under rules and issuers that are gone or changed.
        package var revocations: [Offer]

        /// Each in the order of the configuration that has them.
        package struct Names: Sendable, Hashable {
            package var added: [ExactString]
            package var removed: [ExactString]
            package var changed: [ExactString]

            package init(added: [ExactString] = [], removed: [ExactString] = [], changed: [ExactString] = []) {
                self.added = added
                self.removed = removed
                self.changed = changed
            }

            package var isEmpty: Bool { added.isEmpty && removed.isEmpty && changed.isEmpty }

            var json: JSONValue {
                [
                    "added": AdministrationAPI.json(added), "removed": AdministrationAPI.json(removed),
                    "changed": AdministrationAPI.json(changed),
                ]
            }
        }

        package struct Offer: Sendable, Hashable {
            package let kind: RevocationKind
            package let value: ExactString

            package init(_ kind: RevocationKind, _ value: ExactString) {
                self.kind = kind
                self.value = value
            }
        }

        package init(
            rules: Names = Names(), issuers: Names = Names(), trustDomains: Names = Names(), warnings: [String] = [],
            revocations: [Offer] = []
        ) {
            self.rules = rules
            self.issuers = issuers
            self.trustDomains = trustDomains
            self.warnings = warnings
            self.revocations = revocations
        }

        package var json: JSONObject {
            [
                "rules": rules.json, "issuers": issuers.json, "trust_domains": trustDomains.json,
                "warnings": .array(warnings.map { .string(ExactString($0)) }),
                "revocations": .array(
                    revocations.map { ["kind": .string(ExactString($0.kind.rawValue)), "value": .string($0.value)] }),
            ]
        }
    }
}
