package import JOSE

/// What a provider's own federation call says beside the assertion: whose token it wants. Nothing proves these ids; a rule
/// lists them so that a client that was set up for somebody else is refused instead of served.
package struct FederationIDs: Sendable, Hashable {
    package enum Parameter: String, Sendable, CaseIterable {
        case organization = "organization_id"
        case serviceAccount = "service_account_id"
        case workspace = "workspace_id"
    }

    /// In bytes, of one that a rule lists.
    package static let maximumLength = 256

    private var values: [Parameter: ExactString] = [:]

    package init() {}

    package subscript(parameter: Parameter) -> ExactString? {
        get { values[parameter] }
        set { values[parameter] = newValue }
    }

    package var isEmpty: Bool { values.isEmpty }

    /// Whether every id that is listed here is, byte for byte, also one of `others`.
    package func areAll(in others: FederationIDs) -> Bool {
        values.allSatisfy { others.values[$0.key] == $0.value }
    }

    /// Which of the ids that are listed here `presented` lacks or has otherwise, in the order of the parameters.
    func mismatches(with presented: FederationIDs) -> [Parameter] {
        Parameter.allCases.filter { values[$0] != nil && values[$0] != presented[$0] }
    }
}
