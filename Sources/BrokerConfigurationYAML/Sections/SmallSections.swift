internal import Broker

/// `verify`, `audit` and `store`
enum SmallSections {
    static func verify(_ node: YAMLNode, problems: Problems) -> VerifyConfiguration? {
        let fields = Fields(node, "verify", known: ["require_scope", "require_model"], problems: problems)
        guard let fields else { return nil }
        let standard = VerifyConfiguration()
        let scope = fields["require_scope"].map { $0.bool(problems) } ?? standard.requireScope
        let model = fields["require_model"].map { $0.bool(problems) } ?? standard.requireModel
        guard let scope, let model else { return nil }
        return VerifyConfiguration(requireScope: scope, requireModel: model)
    }

    static func audit(_ node: YAMLNode, problems: Problems) -> AuditConfiguration? {
        let fields = Fields(node, "audit", known: ["claims"], later: ["retention"], problems: problems)
        guard let fields else { return nil }
        guard let claims = fields["claims"] else { return AuditConfiguration() }
        return claims.choice(problems, of: ["matched": .matched, "all": .all]).map(AuditConfiguration.init)
    }

    static func store(_ node: YAMLNode, files: any ConfigurationFiles, problems: Problems) -> StoreConfiguration? {
        let fields = Fields(node, "store", known: ["sqlite"], later: ["postgresql"], problems: problems)
        guard let path = fields?.required("sqlite")?.path(problems, expected: "the path of a database file") else {
            return nil
        }
        return .sqlite(path: files.absolutePath(path))
    }
}
