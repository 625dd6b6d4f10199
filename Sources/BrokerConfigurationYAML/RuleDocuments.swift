package import Broker
internal import JOSE

/// Rules that are not in force, in files that somebody else has: read as strictly as a configuration, under the issuers,
/// trust domains and audiences of one that is in force.
extension ConfigurationReader {
    /// What a document may say beside `rules`, so that a file of a configuration can be given as it is.
    private static let unread = [
        "issuers": "the issuers", "trust_domains": "the trust domains",
    ]

    /// The rules of all documents together, in their order. No file is read, whatever the documents name.
    /// - Parameter documents: each at most `maximumFileSize` long.
    /// - Returns: also what is worth a warning.
    package static func readRules(
        _ documents: [(name: String, contents: [UInt8])], under configuration: BrokerConfiguration
    ) throws(ConfigurationErrors) -> (rules: RuleSet, notes: [ConfigurationNote]) {
        let problems = Problems()
        var nodes: [YAMLNode] = []
        var hasRules = false
        for document in documents {
            problems.begin(file: document.name)
            guard document.contents.count <= maximumFileSize else {
                problems.add(Place(file: document.name), "\(FileFailure.tooLarge)")
                continue
            }
            guard let root = YAMLTree.root(of: document.contents, file: document.name, problems: problems),
                let fields = Fields(root, "a document of rules", known: keys, problems: problems)
            else { continue }
            for (key, words) in unread.sorted(by: { $0.key < $1.key }) {
                guard let node = fields[key] else { continue }
                problems.note(node.place, "\(words) are not read here: those count that are in force")
            }
            if let include = fields["include"], !includes(include, any: documents.map(\.name), problems) {
                problems.note(
                    include.place, "none of the files that it names is given: rules in them are not looked at")
            }
            guard let rules = fields["rules"] else { continue }
            hasRules = true
            nodes += rules.entries(problems, of: "rules")
        }
        if !hasRules, let first = documents.first, problems.failure == nil {
            problems.add(Place(file: first.name), "expected the key \("rules".quoted) in one of the documents")
        }
        if nodes.count > RuleSection.maximumCount {
            problems.add(nodes[RuleSection.maximumCount].place, "expected at most \(RuleSection.maximumCount) rules")
            nodes = []
        }
        return try checked(nodes, Set(documents.map { ExactString($0.name) }), configuration, problems)
    }

    /// Whether one of the documents, by its name, is a file that the list names; true of a list that names none. Which files
    /// there are besides, nobody looks: they are those of whoever asks.
    private static func includes(_ node: YAMLNode, any names: [String], _ problems: Problems) -> Bool {
        let patterns = node.list(problems, of: "paths", allowsNone: true) ?? []
        let paths = patterns.compactMap { $0.path(problems, expected: "a path") }.map(plain)
        return patterns.isEmpty
            || paths.contains { path in
                names.map(plain).contains { name in
                    ExactString(Paths.folder(of: name)) == ExactString(Paths.folder(of: path))
                        && IncludedFiles.matches(Paths.name(of: name), Paths.name(of: path))
                }
            }
    }

    /// The path without what only says that it begins here.
    private static func plain(_ path: String) -> String {
        path.hasPrefix("./") ? plain(String(path.dropFirst(2))) : path
    }

    private static func checked(
        _ nodes: [YAMLNode], _ names: Set<ExactString>, _ configuration: BrokerConfiguration, _ problems: Problems
    ) throws(ConfigurationErrors) -> (rules: RuleSet, notes: [ConfigurationNote]) {
        let shared = SharedIssuers(shipped: ShippedConfiguration.files, problems: problems)
        let issuers = IssuerSection(inForce: configuration.issuers)
        let trustDomains = TrustDomainSection(inForce: configuration.trustDomains)
        let section = RuleSection(
            nodes, issuers: issuers, trustDomains: trustDomains, shared: shared, tokens: configuration.tokens,
            problems: problems)
        if let failure = problems.failure { throw failure }
        guard let rules = section.rules else {
            throw ConfigurationErrors(
                errors: [ConfigurationError(place: .inForce, text: "expected rules")], omitted: 0)
        }
        var next = configuration
        next.rules = rules
        let lint = ConfigurationLint(
            rules: section.entries, issuers: issuers, trustDomains: trustDomains, shared: shared)
        for note in lint.notes() + CertificateUse.notes(next, section.entries, trustDomains)
        where names.contains(ExactString(note.place.file)) {
            problems.note(note.place, note.text)
        }
        return (rules, problems.notes)
    }
}

extension Place {
    /// Of what is in no document.
    fileprivate static var inForce: Place { Place(file: "the configuration in force") }
}

extension IssuerSection {
    /// Issuers that were read before.
    fileprivate init(inForce configurations: [IssuerConfiguration]) {
        self.init(
            configurations: configurations,
            names: Dictionary(configurations.map { ($0.name, Place.inForce) }) { first, _ in first })
    }
}

extension TrustDomainSection {
    /// Trust domains that were read before.
    fileprivate init(inForce configurations: [TrustDomainConfiguration]) {
        self.init(
            configurations: configurations,
            names: Dictionary(configurations.map { ($0.name, Place.inForce) }) { first, _ in first })
    }
}
