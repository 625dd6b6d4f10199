package import JOSE

extension AdministrationAPI {
    /// What an administrator should know beside what an order did or would do.
    package struct RevocationFindings: Sendable, Hashable {
        /// Such as that nothing of that name is configured. A sentence each, which may hold text from the order.
        package var warnings: [String]
        /// The block of the target itself that is in force; nil where there is none.
        package var block: RevocationOrder.Block?
        /// Of an order by a claim: the issuers whose sessions do not keep it, so that they were not searched.
        package var issuersWithoutClaim: [ExactString]?

        package init(
            warnings: [String] = [], block: RevocationOrder.Block? = nil, issuersWithoutClaim: [ExactString]? = nil
        ) {
            self.warnings = warnings
            self.block = block
            self.issuersWithoutClaim = issuersWithoutClaim
        }

        /// `{warnings, block_in_force, issuers_without_claim}`, the latter two where there is something to say.
        package var json: JSONObject {
            var json: JSONObject = ["warnings": .array(warnings.map { .string(ExactString($0)) })]
            if let block { _ = json.append("block_in_force", AdministrationAPI.json(block)) }
            if let issuersWithoutClaim {
                _ = json.append("issuers_without_claim", AdministrationAPI.json(issuersWithoutClaim))
            }
            return json
        }
    }

    /// A block that was lifted, or would be.
    package struct BlockLift: Sendable, Hashable {
        package let kind: RevocationKind
        /// Nil for kind all.
        package let value: ExactString?
        /// The longest that there was.
        package let block: RevocationOrder.Block
        /// The numbers of the revocations that blocked; of what would be lifted none.
        package let revocations: [UInt64]
        /// Such as that another block still keeps the same out.
        package let warnings: [String]

        package init(
            kind: RevocationKind, value: ExactString?, block: RevocationOrder.Block, revocations: [UInt64] = [],
            warnings: [String] = []
        ) {
            self.kind = kind
            self.value = value
            self.block = block
            self.revocations = revocations
            self.warnings = warnings
        }

        package func json(isDryRun: Bool) -> JSONObject {
            let outcome: ExactString = isDryRun ? "dry_run" : "lifted"
            var json: JSONObject = [outcome: true, "kind": .string(ExactString(kind.rawValue))]
            if let value { _ = json.append("value", .string(value)) }
            _ = json.append("block", AdministrationAPI.json(block))
            if !isDryRun { _ = json.append("revocations", .array(revocations.map { .number(Double($0)) })) }
            _ = json.append("warnings", .array(warnings.map { .string(ExactString($0)) }))
            return json
        }
    }
}

extension AdministrationAPI {
    /// `{"until": moment}`, or `{}` where only lifting ends it.
    fileprivate static func json(_ block: RevocationOrder.Block) -> JSONValue {
        .object(block.until.map { ["until": json($0)] } ?? [:])
    }
}
