import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct RecentRefusalsTests {
    private let recent = RecentRefusals(clock: ManualClock())

    private func refusal(
        _ trace: TraceID = TraceID(), client: ExactString = "192.0.2.1", subject: ExactString? = nil,
        reason: String = "r"
    ) -> RecentRefusal {
        RecentRefusal(
            trace: trace, time: Fixture.now, place: .verify, client: client, reason: reason, words: "w",
            subject: subject)
    }

    @Test func `a refusal is found by its trace, and by no other`() {
        let trace = TraceID()
        recent.note(refusal(trace, reason: "one"))
        recent.note(refusal(reason: "two"))
        recent.note(refusal(trace, subject: "ci:a", reason: "three"))
        #expect(Set(recent.refusals(of: trace).map(\.reason)) == ["one", "three"])
        #expect(recent.refusals(of: TraceID()).isEmpty)
    }

    @Test func `one address drives out its own refusals, the oldest first, and few of others'`() {
        let others = (0..<64).map { (TraceID(), ExactString("198.51.100.\($0)")) }
        for (trace, client) in others { recent.note(refusal(trace, client: client)) }
        let traces = (0..<1000).map { _ in TraceID() }
        for trace in traces { recent.note(refusal(trace)) }
        let kept = traces.map { !recent.refusals(of: $0).isEmpty }
        #expect(kept.suffix(RecentRefusals.ringLength).allSatisfy { $0 })
        #expect(kept.count { $0 } == RecentRefusals.ringLength)
        #expect(others.count { !recent.refusals(of: $0.0).isEmpty } >= 32)
    }

    @Test func `who proved nothing drives out nothing of those who proved who they are`() {
        let traces = (0..<50).map { _ in TraceID() }
        for (index, trace) in traces.enumerated() { recent.note(refusal(trace, subject: ExactString("ci:\(index)"))) }
        for index in 0..<10_000 { recent.note(refusal(client: ExactString("c\(index)"))) }
        #expect(traces.allSatisfy { recent.refusals(of: $0).count == 1 })
    }

    @Test func `what an unproved token says is kept in short, and the token is not`() async throws {
        let bench = try ExchangeBench()
        let long = String(repeating: "x", count: 5000)
        let token = try bench.token([
            "iss": "https://evil.example.com", "sub": .string(ExactString(long)), "secret": "s3",
        ])
        let request = try bench.request(token)
        #expect(await bench.refusal(request)?.name == "subjectToken")
        let refusal = try #require(bench.recent.refusals(of: request.trace).first)
        #expect(refusal.place == .exchange && refusal.reason == "issuer" && refusal.client == "192.0.2.7")
        let said = try #require(refusal.said)
        #expect(said["iss"] == "https://evil.example.com" && said["alg"] == "EdDSA")
        #expect(said["sub"]?.object?["bytes"] != nil)
        let text = String(decoding: said.encoded(), as: UTF8.self)
        let segments = TokenSegments(token)
        for hidden in ["s3", "xxxx", segments.payload, segments.signature] { #expect(!text.contains(hidden)) }
        #expect(bench.store.events.isEmpty)
    }

    @Test func `no more than a hundred unproved tokens a second are read`() async throws {
        let bench = try ExchangeBench()
        let token = try bench.token(["iss": "https://evil.example.com"])
        var said = 0
        for _ in 0..<150 {
            let request = try bench.request(token)
            _ = await bench.refusal(request)
            if bench.recent.refusals(of: request.trace).first?.said != nil { said += 1 }
        }
        #expect(said == 100)
        bench.clock.advance(by: .seconds(1))
        let request = try bench.request(token)
        _ = await bench.refusal(request)
        #expect(bench.recent.refusals(of: request.trace).first?.said != nil)
    }

    @Test func `garbage is kept with why, and says nothing`() async throws {
        let bench = try ExchangeBench()
        for garbage in ["", "a.b.c", String(repeating: "a", count: 20_000)] {
            let request = try bench.request(garbage)
            _ = await bench.refusal(request)
            let refusal = try #require(bench.recent.refusals(of: request.trace).first)
            #expect(refusal.reason == "malformed" && refusal.said == nil)
        }
    }
}
