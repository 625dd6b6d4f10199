internal import Broker
internal import JOSE

/// The issuers that sign tokens for many organisations, and the claims of which a rule has to pin one.
///
/// Taken from the shipped files, so that whoever writes an entry of their own for such an issuer keeps its requirement.
struct SharedIssuers {
    private var requirements: [ExactString: [ExactString]] = [:]

    /// None: for reading the shipped files themselves.
    init() {}

    /// - Parameter problems: where the shipped files themselves are unsound.
    init(shipped files: [(path: String, contents: [UInt8])], problems: Problems) {
        for file in files where file.path.hasPrefix("issuers/") {
            guard let root = YAMLTree.root(of: file.contents, file: file.path, problems: problems),
                case .mapping(let entries) = root.content,
                let list = entries.first(where: { $0.key == "issuers" })?.value, case .list(let nodes) = list.content
            else { continue }
            for node in nodes { add(node, problems) }
        }
    }

    /// Nil for an issuer that is not shared.
    func requirement(of issuer: ExactString) -> [ExactString]? { requirements[issuer] }

    private mutating func add(_ node: YAMLNode, _ problems: Problems) {
        guard case .mapping(let entries) = node.content,
            let issuer = entries.first(where: { $0.key == "issuer" })?.value.text(problems, expected: "an issuer"),
            let list = entries.first(where: { $0.key == "require_one_of" })?.value
        else { return }
        requirements[ExactString(issuer)] = list.list(problems, of: "claims")?.unique(problems) {
            MatchSection.claim($0, problems)?.text
        }
    }
}
