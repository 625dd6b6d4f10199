internal import Broker
internal import JOSE

/// `replay` of an issuer
enum ReplaySection {
    /// Of `max_uses`.
    static let uses = 1...10_000

    static func policy(_ node: YAMLNode, problems: Problems) -> ReplayPolicy? {
        let fields = Fields(node, "replay", known: ["mode", "max_uses"], problems: problems)
        guard let fields else { return nil }
        let mode = fields.required("mode").flatMap { Self.mode($0, problems) }
        guard let limit = fields["max_uses"] else { return mode }
        let uses = limit.integer(problems, in: Self.uses)
        guard let mode else { return nil }
        guard case .window = mode else { return limit.refused(problems, "max_uses stands only beside mode: window") }
        return uses.map(ReplayPolicy.window)
    }

    /// Without quotes too, although some readers take `off` for a boolean: there is none that it could be mistaken for.
    private static func mode(_ node: YAMLNode, _ problems: Problems) -> ReplayPolicy? {
        let modes: KeyValuePairs<ExactString, ReplayPolicy> = ["off": .off, "once": .once, "window": .standard]
        guard case .scalar(let text, _) = node.content, let mode = modes.first(where: { $0.key == ExactString(text) })
        else { return node.refused(problems, "expected off, once or window") }
        return mode.value
    }
}
