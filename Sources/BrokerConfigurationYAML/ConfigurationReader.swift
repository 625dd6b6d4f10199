package import Broker
internal import JOSE

/// Reads a configuration from YAML, strictly: whatever is unknown, misspelt, ambiguous or out of range is an error with
/// its file, line and column, and all errors are found at once.
///
/// The way of a file: bytes (`SourceText`) → libyaml's events (`YAMLEvents`) → a bounded tree (`YAMLTree`) → the fields of
/// each section (`Fields`, Sections/) → the validated values of `Broker`.
package struct ConfigurationReader: Sendable {
    /// In bytes, of each file.
    package static let maximumFileSize = 1 << 20
    /// Of YAML, the first one included.
    package static let maximumFiles = 200

    package typealias Reading = (configuration: BrokerConfiguration, notes: [ConfigurationNote])

    private let files: any ConfigurationFiles

    package init(files: any ConfigurationFiles = LocalFiles()) {
        self.files = files
    }

    /// The configuration that starts with the file at `path`. Reads that file, those that it includes, and the key sets
    /// that it names, and nothing else.
    package func read(path: String) throws(ConfigurationErrors) -> Reading {
        let problems = Problems()
        problems.begin(file: path)
        let reading = read(path: path, problems: problems)
        if let failure = problems.failure { throw failure }
        guard let reading else {
            let error = ConfigurationError(place: Place(file: path), text: "expected a configuration")
            throw ConfigurationErrors(errors: [error], omitted: 0)
        }
        return (reading, problems.notes)
    }

    /// The configuration in `yaml` alone, as if in a file of that name: there are no other files.
    package static func read(yaml: [UInt8], name: String) throws(ConfigurationErrors) -> Reading {
        try ConfigurationReader(files: FilesInMemory([name: yaml])).read(path: name)
    }

    static let keys = [
        "server", "tokens", "verify", "store", "audit", "master_key_file", "include", "issuers", "trust_domains",
        "rules", "sign_in",
    ]

    private func read(path: String, problems: Problems) -> BrokerConfiguration? {
        guard let root = root(path, problems),
            let fields = Fields(
                root, "a configuration", known: Self.keys, problems: problems)
        else { return nil }
        let shared = SharedIssuers(shipped: ShippedConfiguration.files, problems: problems)
        let server = fields.required("server").flatMap {
            ServerSection($0, files: files, problems: problems)
        }?.configuration
        let tokens = fields.required("tokens").flatMap {
            TokenSection($0, publicURL: server?.publicURL, problems: problems)
        }?.configuration
        let verify = fields["verify"].map { SmallSections.verify($0, problems: problems) } ?? VerifyConfiguration()
        let audit =
            fields["audit"].map {
                SmallSections.audit($0, files: files, problems: problems)
            } ?? AuditConfiguration()
        let store = fields.required("store").flatMap {
            SmallSections.store($0, files: files, problems: problems)
        }
        let masterKey = fields.required("master_key_file")?.path(problems, expected: "the path of a file")

        let included = IncludedFiles(fields["include"], main: path, files: files, problems: problems)
        let issuerNodes = (fields["issuers"]?.entries(problems, of: "issuers") ?? []) + included.issuers
        let domainNodes = fields["trust_domains"]?.entries(problems, of: "trust_domains") ?? []
        let ruleNodes = (fields["rules"]?.entries(problems, of: "rules") ?? []) + included.rules
        guard isWithin(IssuerSection.maximumCount, issuerNodes, "issuers", problems),
            isWithin(TrustDomainSection.maximumCount, domainNodes, "trust domains", problems),
            isWithin(RuleSection.maximumCount, ruleNodes, "rules", problems)
        else { return nil }
        let issuers = IssuerSection(
            issuerNodes, tokenIssuer: tokens?.issuer, shared: shared, files: files, problems: problems)
        let trustDomains = TrustDomainSection(
            domainNodes, tokenIssuer: tokens?.issuer, files: files, problems: problems)
        let ruleSection = RuleSection(
            ruleNodes, issuers: issuers, trustDomains: trustDomains, shared: shared, tokens: tokens, problems: problems)

        // Outer: whether it is there; inner: whether it could be read.
        let signIn = fields["sign_in"].map {
            SignInSection.configuration($0, issuers: issuers, files: files, problems: problems)
        }

        guard signIn != .some(nil), let server, let tokens, let verify, let audit, let store, let masterKey, let rules = ruleSection.rules
        else {
            return nil
        }
        if rules.rules.isEmpty {
            problems.note(Place(file: path), "there is no rule in it or in what it includes: every exchange is refused")
        }
        let configuration = BrokerConfiguration(
            server: server, tokens: tokens, verify: verify, store: store, audit: audit,
            masterKeyFile: files.absolutePath(masterKey), issuers: issuers.configurations,
            trustDomains: trustDomains.configurations, rules: rules, signIn: signIn ?? nil)
        let lint = ConfigurationLint(
            rules: ruleSection.entries, issuers: issuers, trustDomains: trustDomains, shared: shared)
        for note in lint.notes() + CertificateUse.notes(configuration, ruleSection.entries, trustDomains) {
            problems.note(note.place, note.text)
        }
        return configuration
    }

    private func root(_ path: String, _ problems: Problems) -> YAMLNode? {
        do throws(FileFailure) {
            let bytes = try files.contents(of: path, limit: Self.maximumFileSize)
            return YAMLTree.root(of: bytes, file: path, problems: problems)
        } catch {
            problems.add(Place(file: path), "\(error)")
            return nil
        }
    }

    private func isWithin(_ limit: Int, _ nodes: [YAMLNode], _ name: String, _ problems: Problems) -> Bool {
        guard nodes.count > limit else { return true }
        problems.add(nodes[limit].place, "expected at most \(limit) \(name)")
        return false
    }
}
