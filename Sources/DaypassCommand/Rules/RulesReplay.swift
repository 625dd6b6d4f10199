import ArgumentParser
import BrokerClient
import FoundationEssentials

struct RulesReplay: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Show what other rules would have made of the recorded exchanges.",
        discussion: """
            Who gains (was refused, would be granted), who loses, whose grant changes, and of whom it cannot be told, since \
            a claim that a new rule reads was not kept. "already" means that the rules in force do the same by now. Of those \
            who gain but are blocked it warns; blocks are not looked at otherwise, nor how often a proof was used. The files \
            together are all of the new rules; issuers, trust domains and audiences stay those in force. On the network \
            it needs the scopes daypass:rules and daypass:audit.

            Example: daypass rules replay --since 7d --rules config/daypass.yaml config/rules/*.yaml
            """)

    @Option(
        help: ArgumentHelp("From then on: 30m, 24h or 7d ago, 2027-01-31 or 2027-01-31T12:00:00Z.", valueName: "time"),
        transform: PastMoment.init(parsing:))
    var since: PastMoment

    @Option(
        help: ArgumentHelp("Until when, in the same forms; now without it.", valueName: "time"),
        transform: PastMoment.init(parsing:))
    var until: PastMoment?

    @OptionGroup var documents: RuleDocuments
    @OptionGroup var list: ListOptions
    @OptionGroup var broker: BrokerOptions

    func validate() throws {
        guard !documents.rules.isEmpty else { throw ValidationError("Give the files of the new rules with --rules.") }
        try PastMoment.checkOrder(since, until)
    }

    func run() async throws {
        guard let rules = try documents.json() else { return }
        var members: [String: JSON] = ["rules": rules, "since": .string(since.text)]
        if let until { members["until"] = .string(until.text) }
        let order = members
        try await broker.withClient { client in
            let replay = try await Self.replay(order, client, atMost: list.limit)
            for warning in replay.warnings { Terminal.warn(warning) }
            guard !broker.json else { return try Terminal.print(replay.json(since: since, until: until)) }
            if !replay.groups.isEmpty { Terminal.print(Table(CollectedReplay.columns, replay.groups.map(\.row))) }
            Terminal.note(replay.summary)
        }
    }

    /// All parts, one after another.
    private static func replay(
        _ order: [String: JSON], _ client: AdministrationClient, atMost limit: Int
    ) async throws -> CollectedReplay {
        var (order, replay) = (order, CollectedReplay(atMost: limit))
        while true {
            let part = try await client.waitingForTurn("rules/replay", .object(order))
            replay.add(part)
            guard let next = part["next"] else { return replay }
            guard next != order["cursor"] else {
                throw CommandFailure(.refused, "the broker's replay does not end")
            }
            order["cursor"] = next
        }
    }
}

/// The parts of a replay together.
struct CollectedReplay {
    /// More are only counted.
    private static let maximumGroups = 20_000
    static let columns = ["CHANGE", "COUNT", "SUBJECT", "BEFORE", "AFTER", "WHAT", "LAST TRACE"]
    private static let changes = ["loses", "gains", "changes", "unknown"]
    private static let own = ["count", "last", "trace"]

    private var counts: [String: Int] = [:]
    /// By what the exchanges of a group have in common.
    private var byKey: [JSON: JSON] = [:]
    private(set) var warnings: [String] = []
    private let limit: Int

    init(atMost limit: Int) {
        self.limit = limit
    }

    mutating func add(_ part: JSON) {
        for name in ["examined", "unchanged", "not_by_rules", "ungrouped"] + Self.changes {
            counts[name, default: 0] += part[name]?.count ?? 0
        }
        for group in part.list("groups") { add(group: group) }
        for warning in part.list("warnings").compactMap(\.text) where !warnings.contains(warning) {
            warnings.append(warning)
        }
    }

    private mutating func add(group: JSON) {
        guard case .object(var key) = group else { return }
        for name in Self.own { key[name] = nil }
        let (number, common) = (group["count"]?.count ?? 0, JSON.object(key))
        if let before = byKey[common] {
            // Parts come in the order of recording: the later one has the last trace.
            key.merge(Self.own.compactMap { name in group[name].map { (name, $0) } }) { $1 }
            key["count"] = .integer(Int64(number + (before["count"]?.count ?? 0)))
            byKey[common] = .object(key)
        } else if byKey.count < Self.maximumGroups {
            byKey[common] = group
        } else {
            counts["ungrouped", default: 0] += number
        }
    }

    /// What matters most first, and of it what concerns most exchanges.
    var groups: ArraySlice<JSON> {
        let ranks = Dictionary(uniqueKeysWithValues: Self.changes.enumerated().map { ($1, $0) })
        return byKey.values.sorted { one, other in
            let (left, right) = (one.rank(ranks), other.rank(ranks))
            if left != right { return left < right }
            return one.cell("subject") + one.cell("trace") < other.cell("subject") + other.cell("trace")
        }.prefix(limit)
    }

    func json(since: PastMoment, until: PastMoment?) -> JSON {
        var members = counts.mapValues { JSON.integer(Int64($0)) }
        members["since"] = .string(since.text)
        if let until { members["until"] = .string(until.text) }
        members["groups"] = .array(Array(groups))
        members["complete"] = .bool(byKey.count <= limit && counts["ungrouped"] == 0)
        members["warnings"] = .array(warnings.map { .string($0) })
        return .object(members)
    }

    var summary: String {
        func count(_ name: String) -> Int { counts[name] ?? 0 }
        var text =
            "\(count("examined")) exchanges: \(count("loses")) lose, \(count("gains")) gain, "
            + "\(count("changes")) change, \(count("unknown")) cannot be told, \(count("unchanged")) stay as they were "
            + "(max_session, models and bind compared with the rules in force), "
            + "\(count("not_by_rules")) were not decided by rules"
        if byKey.count > limit { text += "\nthere are more groups: --limit shows them" }
        if count("ungrouped") > 0 { text += "\n\(count("ungrouped")) of them are in no group: there are too many" }
        return text
    }
}

extension JSON {
    fileprivate func rank(_ ranks: [String: Int]) -> [Int] {
        [ranks[cell("change")] ?? ranks.count, self["in_force"]?.flag == true ? 1 : 0, -(self["count"]?.count ?? 0)]
    }

    fileprivate var row: [String] {
        [
            cell("change") == "unknown" ? "cannot be told" : cell("change"), cell("count"), cell("subject"),
            cell("before"), cell("after"), what, cell("trace"),
        ]
    }

    private var what: String {
        var parts = list("differs").compactMap(\.text).filter { $0 != "scope" }
        parts += list("lost_scope").compactMap(\.text).map { "-\($0)" }
        parts += list("gained_scope").compactMap(\.text).map { "+\($0)" }
        if !list("unknown_terms").isEmpty {
            parts.append("terms not known: \(cell("unknown_terms"))")
        }
        if !list("claims").isEmpty { parts.append("not kept: \(cell("claims"))") }
        if cell("change") == "loses" { parts.insert(cell("reason"), at: 0) }
        if self["in_force"]?.flag == true { parts.append("already") }
        return parts.joined(separator: ", ")
    }
}

extension [Int] {
    fileprivate static func < (one: [Int], other: [Int]) -> Bool { one.lexicographicallyPrecedes(other) }
}
