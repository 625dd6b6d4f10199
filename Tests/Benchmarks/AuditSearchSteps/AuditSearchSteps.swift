// How long it takes to find audit records among many, and what it costs recording that they are indexed.
import Broker
import BrokerSQLite
import Foundation
import JOSE
import Logging

/// `AuditSearchSteps STORE COUNT`: fills the store with `COUNT` records, indexes them, and prints milliseconds for each way
/// to find some, then the rate of recording without and with an index that is made meanwhile. At the end, for whoever asks
/// over HTTP: a trace, a subject and a session of the middle.
@main
struct AuditSearchSteps {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count == 2, let path = arguments.first, let count = arguments.last.flatMap({ Int($0) }) else {
            fatalError("AuditSearchSteps STORE COUNT")
        }
        let steps = try AuditSearchSteps(path)
        let filled = try await seconds { try await steps.record(0..<count) }
        print("recorded \(count) in \(format(filled)) s, one after the other by 256 callers")
        let indexed = try await seconds { while try await steps.store.indexAudit() {} }
        print("indexed in \(format(indexed)) s")
        try await steps.measure(count)
        try await steps.compare(count)
        await steps.store.close()
        print("trace=\(trace(count / 2)) subject=\(subject(count / 2)) session=\(session(count / 2))")
    }

    let store: SQLiteStore
    private let start = Date(timeIntervalSince1970: 1_790_000_000)

    private init(_ path: String) throws {
        store = try SQLiteStore(
            path: path, .creating, logger: Logger(label: "benchmark"), reserve: SQLiteStore.standardReserve)
    }

    private static func trace(_ number: Int) -> TraceID {
        let time = EpochMilliseconds(Date(timeIntervalSince1970: 1_790_000_000 + Double(number) / 100)).bits
        let text = String(time << 16 | UInt64(number & 0xFFFF), radix: 16)
        let rest = String(UInt64(number) &* 0x9E37_79B9_7F4A_7C15, radix: 16)
        guard let trace = TraceID(parsing: padded(text) + padded(rest)) else { fatalError("it is a trace id") }
        return trace
    }

    private static func padded(_ text: String) -> String { String(repeating: "0", count: 16 - text.count) + text }

    /// Ten records each, scattered over all.
    private static func subject(_ number: Int) -> ExactString {
        ExactString("github:repo:acme/app-\(number % 100_003 &* 7919 % 100_003):ref:refs/heads/main")
    }

    private static func session(_ number: Int) -> ExactString { ExactString("session-\(number / 3)") }

    private static func event(_ number: Int) -> AuditEvent {
        let claims: JSONObject = [
            "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "https://daypass.example.com", "iat": 1_790_000_000, "exp": 1_790_000_900,
            "jti": .string(ExactString("jti-\(number)")), "repository_id": "123456", "ref": "refs/heads/main",
            "event_name": "push", "job_workflow_ref": "acme/app/.github/workflows/build.yml@refs/heads/main",
        ]
        return AuditEvent(
            time: Date(timeIntervalSince1970: 1_790_000_000 + Double(number) / 100), trace: trace(number),
            kind: number.isMultiple(of: 20) ? .exchangeRefused : .exchangeGranted,
            issuer: IssuerName(parsing: "github"), subject: subject(number), rule: ExactString("rule-\(number % 40)"),
            sessionID: session(number), tokenID: ExactString("token-\(number)"),
            details: [
                "client": "192.0.2.7", "scope": ["anthropic:messages", "anthropic:count_tokens"],
                "audience": "https://gateway.example.com", "expires": 1_790_000_900, "claims": .object(claims),
            ])
    }

    private func record(_ numbers: Range<Int>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<256 {
                group.addTask {
                    for number in stride(from: numbers.lowerBound + caller, to: numbers.upperBound, by: 256) {
                        try await store.record(Self.event(number))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func measure(_ count: Int) async throws {
        let decisions = StoredDecisions(
            store, recent: RecentRefusals(), limits: { [] }, retention: .seconds(400 * 86_400), clock: SystemClock())
        let ways: [(String, (Int) async throws -> Int)] = [
            ("explain", { try await decisions.decision(Self.trace($0)).records.count }),
            ("trace", { try await find(.init(trace: Self.trace($0))) }),
            ("subject", { try await find(.init(subject: Self.subject($0))) }),
            ("session", { try await find(.init(session: Self.session($0))) }),
            ("token", { try await find(.init(token: ExactString("token-\($0)"))) }),
            (
                "rule and kind",
                { try await find(.init(kind: .exchangeRefused, rule: ExactString("rule-\($0 % 2 * 20)"))) }
            ),
            (
                "an hour of a subject",
                { number in
                    let since = start.addingTimeInterval(Double(number) / 100 - 1800)
                    return try await find(
                        .init(since: since, until: since.addingTimeInterval(3600), subject: Self.subject(number)))
                }
            ),
        ]
        for (name, find) in ways {
            var took: [Double] = []
            for turn in 0..<100 {
                let number = turn &* 7_368_787 % count
                took.append(
                    try await Self.seconds {
                        let found = try await find(number)
                        precondition(found > 0, "\(name) \(number): nothing was found")
                    } * 1000)
            }
            took.sort()
            print("\(name): \(Self.format(took[50])) ms in the median, \(Self.format(took[99])) ms at most")
        }
        let nobody = try await Self.seconds {
            let found = try await find(.init(subject: "github:nobody"))
            precondition(found == 0)
        }
        print("a subject that there is not: \(Self.format(nobody * 1000)) ms at most")
    }

    private func find(_ condition: AuditCondition) async throws -> Int {
        try await store.auditRecords(condition, before: nil, limit: 100).records.count
    }

    /// Turn about, since disks have moods.
    private func compare(_ count: Int) async throws {
        let (part, turns) = (max(count / 50, 1000), 5)
        var (without, with, next) = ([Double](), [Double](), count)
        for _ in 0..<turns {
            without.append(try await rate(next, part))
            while try await store.indexAudit() {}
            next += part
            let indexing = Task {
                while !Task.isCancelled {
                    while try await store.indexAudit() {}
                    try? await Task.sleep(for: .milliseconds(200))
                }
            }
            with.append(try await rate(next, part))
            indexing.cancel()
            try? await indexing.value
            next += part
        }
        let (plain, indexed) = (without.sorted()[turns / 2], with.sorted()[turns / 2])
        print("records a second: \(Int(plain)) without, \(Int(indexed)) with an index that is made every 0.2 s")
        print("cost of the index: \(Self.format((1 - indexed / plain) * 100)) %")
    }

    private func rate(_ first: Int, _ count: Int) async throws -> Double {
        Double(count) / (try await Self.seconds { try await record(first..<(first + count)) })
    }

    private static func seconds(_ body: () async throws -> Void) async rethrows -> Double {
        try await ContinuousClock().measure { try await body() } / .seconds(1)
    }

    private static func format(_ number: Double) -> String { String(format: "%.2f", number) }
}
