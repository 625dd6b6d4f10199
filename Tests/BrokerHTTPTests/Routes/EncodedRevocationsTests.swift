import Broker
import BrokerTesting
import Foundation
import JOSE
import NIOCore
import Testing

@testable import BrokerHTTP

@Suite struct `Revocations for many readers` {
    private let store = MemoryStore()
    private let revocations: Revocations
    private let encoded: EncodedRevocations

    init() throws {
        let masterKey = try MasterKey.generate().0
        let ring = try KeyRing(
            opening: [SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: Sample.time)],
            with: masterKey)
        revocations = Revocations(
            store, publishedIn: StateHolder(BrokerState(keyRing: ring)), clock: ManualClock(),
            logger: LogRecorder().logger)
        encoded = EncodedRevocations()
    }

    private func revoke(_ count: Int) async throws {
        let first = revocations.highest
        let requests = try (1...count).map {
            try RevocationRequest(.session(ExactString("s\(first + UInt64($0))")))
        }
        _ = try await revocations.revoke(requests, by: .daemon)
    }

    private func cursor(_ last: String? = nil) -> RevocationFeed.EventCursor {
        RevocationFeed.EventCursor(encoded, last)
    }

    /// All that a stream sends until nothing is left.
    private func text(_ cursor: inout RevocationFeed.EventCursor) -> String {
        var text = ""
        while let parts = cursor.next(of: revocations.snapshot) {
            for part in parts { text += String(buffer: part) }
        }
        return text
    }

    /// The numbers of the events, in their order; that of a whole set is its highest.
    private func numbers(_ text: String) throws -> [UInt64] {
        try text.split(separator: "\n\n").map { event in
            let lines = event.split(separator: "\n")
            let id = try #require(lines.dropFirst().first { $0.hasPrefix("id: \(revocations.snapshot.edition)-") })
            return try #require(UInt64(id.split(separator: "-").last ?? ""))
        }
    }

    @Test func `10,000 of them are encoded once for 100 streams, and each change once for all`() async throws {
        try await revoke(10_000)
        var cursors = (0..<100).map { _ in cursor() }
        var lengths: Set<Int> = []
        for index in cursors.indices { lengths.insert(text(&cursors[index]).utf8.count) }
        #expect(lengths.count == 1 && encoded.encodingCount == 1)
        for _ in 0..<100 { _ = encoded.document(of: revocations.snapshot) }
        #expect(encoded.encodingCount == 1)

        try await revoke(1)
        for index in cursors.indices { #expect(try numbers(text(&cursors[index])) == [10_001]) }
        #expect(encoded.encodingCount == 2)
        // Of many at once a stream gets parts: to 10240, 11264, 12288 and 13001.
        try await revoke(3000)
        let expected = try numbers(text(&cursors[0]))
        #expect(expected == Array(10_002...13_001))
        let first = try #require(cursors.indices.first)
        for index in cursors.indices where index != first { #expect(text(&cursors[index]).utf8.count > 3000) }
        #expect(encoded.encodingCount == 6)
    }

    @Test func `streams that begin while much is revoked share a set, and get the rest behind it`() async throws {
        try await revoke(2000)
        for index in 1...100 {
            var cursor = cursor()
            let all = text(&cursor)
            #expect(all.hasPrefix("event: set\nid: \(revocations.snapshot.edition)-2000\n"))
            #expect(try numbers(all) == Array(2000...UInt64(1999 + index)))
            try await revoke(1)
        }
        // The set once; of what comes behind it each length once.
        #expect(encoded.encodingCount == 100)
        try await revoke(Int(EncodedRevocations.maximumLag))
        var cursor = cursor()
        #expect(try numbers(text(&cursor)) == [revocations.highest])
    }

    @Test func `whoever fell behind gets all that it missed, in parts that end where others' end`() async throws {
        try await revoke(5000)
        for last in [0, 1, 1023, 1024, 1025, 4999] {
            var cursor = cursor("\(revocations.snapshot.edition)-\(last)")
            #expect(try numbers(text(&cursor)) == Array(UInt64(last + 1)...5000))
        }
        var current = cursor("\(revocations.snapshot.edition)-5000")
        #expect(current.next(of: revocations.snapshot) == nil)
        // 1 to 1024, 2 to 1024, 1024, 1025 to 2048 and so on, 1026 to 2048, 5000: parts that are kept are not made again.
        #expect(encoded.encodingCount <= 12)
    }

    @Test func `a gap that was pruned costs nothing`() async throws {
        try await revoke(3)
        let late = try #require(revocations.list.first?.expires.addingTimeInterval(86_401))
        try await revocations.prune(at: late)
        var cursor = cursor("\(revocations.snapshot.edition)-0")
        #expect(text(&cursor).isEmpty)
        #expect(encoded.encodingCount == 0)
        try await revoke(1)
        #expect(try numbers(text(&cursor)) == [4])
    }

    @Test func `a document is that of its tag, whatever was asked for before`() async throws {
        try await revoke(2)
        let old = revocations.snapshot
        let before = encoded.document(of: old)
        try await revoke(1)
        let after = encoded.document(of: revocations.snapshot)
        #expect(String(buffer: before).contains(#""highest":2"#) && String(buffer: after).contains(#""highest":3"#))
        #expect(encoded.document(of: old) == before)
    }

    @Test func `a subject has a quarter of the streams, and gets them back`() {
        let places = FeedPlaces()
        var held = (0..<FeedPlaces.maximumForSubject).map { _ in places.take(for: "a") }
        #expect(held.allSatisfy { $0 != nil } && places.take(for: "a") == nil)
        for subject: ExactString in ["b", "c", "d"] {
            held += (0..<FeedPlaces.maximumForSubject).map { _ in places.take(for: subject) }
        }
        #expect(held.count == FeedPlaces.maximum && held.allSatisfy { $0 != nil })
        #expect(places.take(for: "e") == nil)
        held.removeFirst()
        #expect(places.take(for: "e") != nil)
        held.removeAll()
        #expect(places.take(for: "a") != nil)
    }
}
