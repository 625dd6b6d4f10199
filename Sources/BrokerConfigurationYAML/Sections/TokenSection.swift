internal import Broker
internal import JOSE

/// `tokens`
struct TokenSection {
    let configuration: TokenConfiguration

    /// - Parameter publicURL: the issuer, unless the section names one; nil where it is not known for its own errors.
    init?(_ node: YAMLNode, publicURL: String?, problems: Problems) {
        let fields = Fields(node, "tokens", known: ["issuer", "audiences", "signing"], problems: problems)
        guard let fields else { return nil }
        let issuer = fields["issuer"].map { ServerSection.origin($0, problems) } ?? publicURL
        let audiences = fields.required("audiences").flatMap {
            Self.audiences($0, issuer: issuer, problems)
        }
        let signing = fields["signing"].map { SigningSection.read($0, problems) } ?? SigningConfiguration()
        guard let issuer, let audiences, let signing else { return nil }
        configuration = TokenConfiguration(issuer: ExactString(issuer), audiences: audiences, signing: signing)
    }

    private static func audiences(_ node: YAMLNode, issuer: String?, _ problems: Problems) -> [ExactString]? {
        guard let nodes = node.list(problems, of: "audiences", limit: 32) else { return nil }
        return nodes.unique(problems) { node in
            guard let audience = node.audience(problems) else { return nil }
            guard audience.string != issuer else {
                return node.refused(
                    problems,
                    "expected a gateway's audience: \(audience.string.quoted) is tokens.issuer, the broker itself")
            }
            return audience
        }
    }
}

extension YAMLNode {
    /// An `aud` value: 1 to 512 bytes of text without spaces.
    func audience(_ problems: Problems) -> ExactString? {
        let expected = "an audience such as https://daypass.example.com, without spaces"
        guard let text = text(problems, expected: expected) else { return nil }
        guard !text.unicodeScalars.contains(where: \.properties.isWhitespace) else {
            return refused(problems, "expected \(expected)")
        }
        return ExactString(text)
    }

    /// One of a few words.
    func choice<Value>(_ problems: Problems, of values: KeyValuePairs<String, Value>) -> Value? {
        let expected = values.map(\.key).joined(separator: " or ")
        guard let text = text(problems, expected: expected) else { return nil }
        return values.first { ExactString($0.key) == ExactString(text) }?.value
            ?? refused(problems, "expected \(expected)")
    }
}

extension [YAMLNode] {
    /// The values of all elements, or nil when one has none; a value twice is an error.
    func unique<Value: Hashable>(_ problems: Problems, _ value: (YAMLNode) -> Value?) -> [Value]? {
        var values: [Value] = []
        var seen: Set<Value> = []
        var isWhole = true
        for node in self {
            guard let value = value(node) else {
                isWhole = false
                continue
            }
            if !seen.insert(value).inserted {
                problems.add(node.place, "expected each value once; this one stands here twice")
                isWhole = false
            }
            values.append(value)
        }
        return isWhole ? values : nil
    }
}
