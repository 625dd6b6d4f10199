import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The audit routes` {
    private static let events = (0..<5).map { number in
        AuditEvent(
            time: Sample.time, trace: TraceID(), kind: number == 4 ? .exchangeRefused : .exchangeGranted,
            issuer: Sample.issuer, subject: number.isMultiple(of: 2) ? "ci:a" : "ci:\n\u{202E}", rule: "r",
            details: ["number": .number(Double(number))])
    }

    private func run(_ body: @escaping @Sendable (LiveAdministration) async throws -> Void) async throws {
        try await LiveAdministration.run { live in
            live.fake.record(Self.events)
            try await body(live)
        }
    }

    @Test func `GET audit answers 200 with the last record first, in pages`() async throws {
        try await run { live in
            let first = try await live.send(.GET, "audit?limit=2")
            #expect(first.status == 200 && first.headers.first(name: "Content-Type") == "application/json")
            #expect(first.json["records"]?.array?.map { $0.object?["sequence"] } == [5, 4])
            #expect(first.json["records"]?.array?.last?.object?["subject"] == "ci:\n\u{202E}")
            let cursor = try #require(first.text("next"))
            let second = try await live.send(.GET, "audit?limit=2&cursor=\(cursor)")
            #expect(second.json["records"]?.array?.map { $0.object?["sequence"] } == [3, 2])
            let empty = try await live.send(.GET, "audit?subject=nobody")
            #expect(empty.json["records"] == [] && empty.json["next"] == nil, "\(empty.body)")
        }
    }

    @Test func `GET audit takes every condition`() async throws {
        try await run { live in
            let trace = Self.events[4].trace
            let query =
                "since=2023-11-14T22:13:20.250Z&until=2027-01-01T00:00:00Z&kind=exchange.refused&subject=ci%3Aa&rule=r"
                + "&trace=\(trace)&session=s1&token=t1"
            let answer = try await live.send(.GET, "audit?\(query)")
            #expect(answer.status == 200, "\(answer.body)")
            #expect(
                live.fake.calls.conditions == [
                    AuditCondition(
                        since: Sample.time, until: Date(timeIntervalSince1970: 1_798_761_600), kind: .exchangeRefused,
                        subject: "ci:a", rule: "r", trace: trace, session: "s1", token: "t1")
                ])
        }
    }

    @Test(arguments: [
        "since=yesterday", "until=2027-13-01T00:00:00Z", "kind=refused", "trace=0123", "limit=0", "limit=1001",
        "limit=x",
        "reason=x", "since=", "subject=a&subject=b", "after=1",
    ])
    func `GET audit answers 400 to a condition that cannot be read`(_ query: String) async throws {
        try await run { live in
            let answer = try await live.send(.GET, "audit?\(query)")
            #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.body)")
            #expect(live.fake.calls.conditions.isEmpty)
        }
    }

    @Test func `GET audit/export answers 200 with lines in the order of recording, and where the next part begins`()
        async throws
    {
        try await run { live in
            let first = try await live.send(.GET, "audit/export?limit=3")
            #expect(first.status == 200 && first.headers.first(name: "Content-Type") == "application/jsonl")
            let lines = first.body.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == 4 && lines.last == "")
            for (number, line) in lines.dropLast().enumerated() {
                let record = try AuditLine.parse(Array(line.utf8))
                #expect(record.sequence == Int64(number + 1) && record.event.isSame(as: Self.events[number]))
            }
            #expect(first.headers.first(name: "Daypass-Next") == "3")
            #expect(first.headers.first(name: "Daypass-Complete") == nil)
            let second = try await live.send(.GET, "audit/export?limit=3&after=3")
            #expect(second.body.split(separator: "\n").count == 2)
            #expect(second.headers.first(name: "Daypass-Complete") == "true")
            let end = try await live.send(.GET, "audit/export?after=5")
            #expect(end.body == "" && end.headers.first(name: "Daypass-Next") == "5")
        }
    }

    @Test(arguments: ["after=-1", "after=01", "after=x", "after=9999999999999999999", "cursor=1"])
    func `GET audit/export answers 400 to a beginning that cannot be read`(_ query: String) async throws {
        try await run { live in
            let answer = try await live.send(.GET, "audit/export?\(query)")
            #expect(answer.status == 400, "\(answer.body)")
        }
    }

    @Test
    func `GET explain answers 200 with the decision, 404 with why nothing is known, and 400 to what is no trace id`()
        async throws
    {
        try await run { live in
            let trace = Self.events[4].trace
            let record = AuditRecord(sequence: 5, event: Self.events[4])
            live.fake.explain(AdministrationAPI.Decision(trace: trace, records: [record]))
            let answer = try await live.send(.GET, "explain/\(trace)")
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.text("trace") == trace.description)
            #expect(answer.json["decisions"]?.array?.first?.object?["outcome"] == "refused")
            let unknown = try await live.send(.GET, "explain/\(TraceID())")
            #expect(unknown.status == 404 && unknown.text("message")?.contains("nothing is known") == true)
            for bad in ["0123", String(repeating: "A", count: 32), "%2e%2e", String(repeating: "a", count: 33)] {
                #expect(try await live.send(.GET, "explain/\(bad)").status == 400, "\(bad)")
            }
            #expect(try await live.send(.POST, "explain/\(trace)").status == 405)
            #expect(try await live.send(.POST, "audit").status == 405)
        }
    }

    @Test func `a store that cannot be read answers 503`() async throws {
        try await run { live in
            live.fake.fail(with: .unavailable("the disk"))
            for path in ["audit", "audit/export", "explain/\(TraceID())"] {
                let answer = try await live.send(.GET, path)
                #expect(answer.status == 503 && answer.headers.first(name: "Retry-After") == "1", "\(path)")
            }
        }
    }
}
