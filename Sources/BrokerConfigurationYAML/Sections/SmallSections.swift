internal import Broker

/// `verify`, `audit` and `store`
enum SmallSections {
    static func verify(_ node: YAMLNode, problems: Problems) -> VerifyConfiguration? {
        let fields = Fields(
            node, "verify",
            known: ["require_scope", "require_model", "cache_entries", "failures_per_second_per_address"],
            problems: problems)
        guard let fields else { return nil }
        let standard = VerifyConfiguration()
        let scope = fields["require_scope"].map { $0.bool(problems) } ?? standard.requireScope
        let model = fields["require_model"].map { $0.bool(problems) } ?? standard.requireModel
        let entries =
            fields["cache_entries"].map { $0.integer(problems, in: VerificationCache.sizes) } ?? standard.cacheEntries
        let failures =
            fields["failures_per_second_per_address"].map { $0.integer(problems, in: FailedVerifications.rates) }
            ?? standard.failuresPerSecondPerAddress
        guard let scope, let model, let entries, let failures else { return nil }
        return VerifyConfiguration(
            requireScope: scope, requireModel: model, cacheEntries: entries, failuresPerSecondPerAddress: failures)
    }

    static func audit(
        _ node: YAMLNode, files: any ConfigurationFiles, problems: Problems
    ) -> AuditConfiguration? {
        let fields = Fields(node, "audit", known: ["claims", "retention", "file", "archive"], problems: problems)
        guard let fields else { return nil }
        let standard = AuditConfiguration()
        let words: KeyValuePairs<String, AuditConfiguration.Claims> = ["matched": .matched, "all": .all]
        let claims = fields["claims"].map { $0.choice(problems, of: words) } ?? standard.claims
        let retention = fields["retention"].map { Self.retention($0, problems) } ?? standard.retention
        let file = fields["file"].map { $0.path(problems, expected: "the path of a file") }
        let archive = fields["archive"].map { $0.path(problems, expected: "the path of a folder") }
        // Outer: whether it is there; inner: whether it can be read.
        guard let claims, let retention, file != .some(nil), archive != .some(nil) else { return nil }
        return AuditConfiguration(
            claims: claims, retention: retention, file: (file ?? nil).map(files.absolutePath),
            archive: (archive ?? nil).map(files.absolutePath))
    }

    private static func retention(_ node: YAMLNode, _ problems: Problems) -> Duration? {
        let bounds = AuditConfiguration.retentions
        guard let retention = node.duration(problems, atMost: bounds.upperBound) else { return nil }
        guard retention >= bounds.lowerBound else {
            return node.refused(problems, "expected a duration of at least \(bounds.lowerBound.written)")
        }
        return retention
    }

    static func store(_ node: YAMLNode, files: any ConfigurationFiles, problems: Problems) -> StoreConfiguration? {
        let fields = Fields(node, "store", known: ["sqlite"], later: ["postgresql"], problems: problems)
        guard let path = fields?.required("sqlite")?.path(problems, expected: "the path of a database file") else {
            return nil
        }
        return .sqlite(path: files.absolutePath(path))
    }
}
