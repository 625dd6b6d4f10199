package import FoundationEssentials
package import JOSE

/// What rules grant, would grant, and would have granted, for administrators. Nothing here grants anything or changes
/// what is in force.
package protocol RuleInspector: Sendable {
    /// The rules in force, in their order.
    func rules(
        _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Rule>

    /// Those that grant the scope, and to whom.
    func openings(
        of scope: Scope, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.RuleOpening>

    /// What somebody with these claims would be granted.
    /// - Throws: `.invalid` where nobody vouches for such claims, or the rules cannot be read, with every error, a line
    ///   each; `.conflict` while others are read.
    func test(
        _ order: AdministrationAPI.RuleTest
    ) async throws(AdministrationFailure) -> AdministrationAPI.RuleTestResult

    /// A part of the recorded exchanges against other rules.
    /// - Throws: as `test`; `.conflict` while another part is under way.
    func replay(
        _ order: AdministrationAPI.RuleReplayOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RuleReplayPart
}

/// Reads rules that somebody would like to be in force.
package protocol RuleDocumentReader: Sendable {
    /// The rules of all documents together, in their order, checked against the issuers, trust domains and tokens of
    /// `configuration`. Nothing else is read, and no file.
    /// - Returns: also what `daypassd check` would warn of, a line each.
    /// - Throws: `.invalid` with every error, a line each.
    func rules(
        in documents: [AdministrationAPI.RuleDocument], under configuration: BrokerConfiguration
    ) async throws(AdministrationFailure) -> (rules: RuleSet, warnings: [String])
}

extension AdministrationAPI {
    /// A text with rules, as a file of the configuration has them.
    package struct RuleDocument: Sendable, Hashable {
        package static let maximumCount = 200
        package static let maximumNameLength = 1024

        /// For messages.
        package let name: String
        package let text: ExactString

        package init(name: String, text: ExactString) {
            self.name = name
            self.text = text
        }
    }

    /// Whose claims are tested, and against what.
    package struct RuleTest: Sendable, Hashable {
        package enum Source: Sendable, Hashable {
            /// The configured name of the issuer.
            case issuer(ExactString)
            case trustDomain(ExactString)
        }

        package var claims: JSONObject
        /// Nil: whoever the claims themselves name.
        package var source: Source?
        /// Nil asks for all of it.
        package var scope: [Scope]?
        package var rule: ExactString?
        package var federation = FederationIDs()
        /// Nil: those that are in force.
        package var documents: [RuleDocument]?

        package init(claims: JSONObject) {
            self.claims = claims
        }
    }

    /// Which exchanges are to be decided again, and by which rules.
    package struct RuleReplayOrder: Sendable, Hashable {
        package var documents: [RuleDocument]
        package var since: Date
        /// Nil: what is recorded when the first part begins.
        package var until: Date?
        /// An earlier part's `next`.
        package var position: HistoryPosition?

        package init(_ documents: [RuleDocument], since: Date) {
            self.documents = documents
            self.since = since
        }
    }
}
