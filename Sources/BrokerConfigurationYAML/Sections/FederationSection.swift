internal import Broker
internal import JOSE

/// `federation` of a rule
enum FederationSection {
    static func ids(_ node: YAMLNode, problems: Problems) -> FederationIDs? {
        let keys = FederationIDs.Parameter.allCases.map(\.rawValue)
        guard let fields = Fields(node, "federation", known: keys, problems: problems) else { return nil }
        var ids = FederationIDs()
        var isSound = true
        for parameter in FederationIDs.Parameter.allCases {
            guard let value = fields[parameter.rawValue] else { continue }
            let expected =
                "the \(parameter.rawValue) that clients send, as text of at most \(FederationIDs.maximumLength) bytes"
            if let text = value.text(problems, expected: expected, limit: FederationIDs.maximumLength) {
                ids[parameter] = ExactString(text)
            } else {
                isSound = false
            }
        }
        guard isSound else { return nil }
        // Unknown keys alone have been reported already.
        if ids.isEmpty, case .mapping(let entries) = node.content, !entries.isEmpty { return nil }
        guard !ids.isEmpty else {
            return node.refused(problems, "expected at least one of \(keys.joined(separator: ", "))")
        }
        return ids
    }
}
