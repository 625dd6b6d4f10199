import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The routes of the audit chain` {
    @Test func `GET audit/verify answers 200 with what a stretch came to, also where it is not intact`() async throws {
        try await LiveAdministration.run { live in
            live.fake.setChain([
                AuditVerification(after: nil, keys: nil, remembering: nil).report(nil, next: 7),
                AuditReport(AuditFinding(.missing, 12, "record 12 is missing")),
            ])
            let first = try await live.send(.GET, "audit/verify")
            #expect(first.status == 200, "\(first.body)")
            #expect(
                first.json == ["intact": true, "records": 0, "checkpoints": 0, "unsealed": 0, "next": 7],
                "\(first.body)")
            let second = try await live.send(.GET, "audit/verify?after=7")
            #expect(second.status == 200 && second.json["intact"] == false, "\(second.body)")
            #expect(
                second.json["finding"]?.object == [
                    "kind": "missing", "sequence": 12, "message": "record 12 is missing",
                ])
            #expect(live.fake.calls.lines == ["verify after=nothing", "verify after=7"])
        }
    }

    @Test func `GET audit/hashes answers 200 with numbers and hashes, part by part`() async throws {
        try await LiveAdministration.run { live in
            let (zeros, marks) = (AuditChain.start, (1...3).map { AuditMark(sequence: $0, hash: AuditChain.start) })
            let checkpoints = (1...2).map {
                Checkpoint(
                    number: $0 + 6, Checkpoint.Place(sequence: $0, hash: zeros, count: 1), time: 0, generation: 1,
                    keyID: "k", previous: zeros, signature: [0, 0, 0])
            }
            live.fake.setChain([], marks, checkpoints)
            let part = try await live.send(.GET, "audit/hashes?after=1&limit=1")
            let hash = String(repeating: "A", count: 43)
            #expect(part.status == 200)
            let line = String(decoding: checkpoints[1].json.encoded(), as: UTF8.self).replacing("\"", with: "\\\"")
            let checkpoint = #"{"checkpoint":8,"sequence":2,"line":"\#(line)"}"#
            #expect(
                part.body
                    == #"{"records":[{"sequence":2,"hash":"\#(hash)"}],"checkpoints":[\#(checkpoint)],"complete":false}"#
            )
            let all = try await live.send(.GET, "audit/hashes")
            #expect(all.json["records"]?.array?.count == 3 && all.json["complete"] == true, "\(all.body)")
        }
    }

    @Test(arguments: [
        "verify?after=0", "verify?after=-1", "verify?after=01", "verify?after=x", "verify?after=9223372036854775808",
        "verify?limit=1", "hashes?after=-1", "hashes?limit=0", "hashes?limit=10001", "hashes?limit=1.0",
        "verify?after=1&after=2",
    ])
    func `anything else in the query is answered with 400`(path: String) async throws {
        try await LiveAdministration.run { live in
            let answer = try await live.send(.GET, "audit/\(path)")
            #expect(answer.status == 400 && answer.text("error") == "invalid_request", "\(answer.body)")
            #expect(live.fake.calls.lines == [])
        }
    }

    @Test func `a second verification at the same time is answered with 409, a store that fails with 503`() async throws
    {
        try await LiveAdministration.run { live in
            live.fake.fail(with: .conflict("another verification is under way"))
            let second = try await live.send(.GET, "audit/verify")
            #expect(second.status == 409)
            live.fake.fail(with: .unavailable("it is locked"))
            let failing = try await live.send(.GET, "audit/verify")
            #expect(failing.status == 503)
            let posted = try await live.send(.POST, "audit/verify")
            #expect(posted.status == 405)
        }
    }
}
