import Broker
import BrokerTesting
import Dispatch
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
    private func text(_ cursor: inout RevocationFeed.EventCursor) async -> String {
        var text = ""
        while let parts = await cursor.next(of: revocations.snapshot) {
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
        for index in cursors.indices { lengths.insert(await text(&cursors[index]).utf8.count) }
        #expect(lengths.count == 1 && encoded.encodingCount == 1)
        for _ in 0..<100 { _ = await encoded.document(of: revocations.snapshot) }
        #expect(encoded.encodingCount == 1)

        try await revoke(1)
        for index in cursors.indices { #expect(try numbers(await text(&cursors[index])) == [10_001]) }
        #expect(encoded.encodingCount == 2)
        // Of many at once a stream gets parts: to 10240, 11264, 12288 and 13001.
        try await revoke(3000)
        let expected = try numbers(await text(&cursors[0]))
        #expect(expected == Array(10_002...13_001))
        let first = try #require(cursors.indices.first)
        for index in cursors.indices where index != first { #expect(await text(&cursors[index]).utf8.count > 3000) }
        #expect(encoded.encodingCount == 6)
    }

    @Test func `streams that begin while much is revoked share a set, and get the rest behind it`() async throws {
        try await revoke(2000)
        for index in 1...100 {
            var cursor = cursor()
            let all = await text(&cursor)
            #expect(all.hasPrefix("event: set\nid: \(revocations.snapshot.edition)-2000\n"))
            #expect(try numbers(all) == Array(2000...UInt64(1999 + index)))
            try await revoke(1)
        }
        // The set once; of what comes behind it each length once.
        #expect(encoded.encodingCount == 100)
        try await revoke(Int(EncodedRevocations.maximumLag))
        var cursor = cursor()
        #expect(try numbers(await text(&cursor)) == [revocations.highest])
    }

    @Test func `whoever fell behind gets all that it missed, in parts that end where others' end`() async throws {
        try await revoke(5000)
        for last in [0, 1, 1023, 1024, 1025, 4999] {
            var cursor = cursor("\(revocations.snapshot.edition)-\(last)")
            #expect(try numbers(await text(&cursor)) == Array(UInt64(last + 1)...5000))
        }
        var current = cursor("\(revocations.snapshot.edition)-5000")
        #expect(await current.next(of: revocations.snapshot) == nil)
        // 1 to 1024, 2 to 1024, 1024, 1025 to 2048 and so on, 1026 to 2048, 5000: parts that are kept are not made again.
        #expect(encoded.encodingCount <= 12)
    }

    @Test func `a gap that was pruned costs nothing`() async throws {
        try await revoke(3)
        let late = try #require(revocations.list.first?.expires.addingTimeInterval(86_401))
        try await revocations.prune(at: late)
        var cursor = cursor("\(revocations.snapshot.edition)-0")
        #expect(await text(&cursor).isEmpty)
        #expect(encoded.encodingCount == 0)
        try await revoke(1)
        #expect(try numbers(await text(&cursor)) == [4])
    }

    @Test func `a document is that of its tag, and never older than what was asked for`() async throws {
        try await revoke(2)
        let old = revocations.snapshot
        let before = await encoded.document(of: old)
        try await revoke(1)
        let after = await encoded.document(of: revocations.snapshot)
        #expect(before.tag == old.tag && after.tag == revocations.snapshot.tag && before.tag != after.tag)
        #expect(String(buffer: before.json).contains(#""highest":2"#))
        #expect(String(buffer: after.json).contains(#""highest":3"#))
        // Whoever comes late with an older question gets the newer answer, under its own tag.
        #expect(await encoded.document(of: old).tag == after.tag && encoded.encodingCount == 2)
        // A block that is lifted, and what is pruned, are other documents with the same numbers.
        let late = try #require(revocations.list.first?.expires.addingTimeInterval(86_401))
        try await revocations.prune(at: late)
        let pruned = await encoded.document(of: revocations.snapshot)
        #expect(pruned.highest == 3 && pruned.tag != after.tag)
        #expect(String(buffer: pruned.json).contains(#""revocations":[]"#))
    }

    @Test(.timeLimit(.minutes(1)))
    func `whoever comes while a set is being made shares it or the next one, and nobody holds a lock meanwhile`()
        async throws
    {
        let (gate, begun) = (DispatchSemaphore(value: 0), AsyncStream<Void>.makeStream())
        let encoded = EncodedRevocations { json in
            // Parts are not held up.
            if json["revocations"] != nil {
                begun.continuation.yield()
                gate.wait()
            }
            return json.encoded()
        }
        try await revoke(3)
        let first = revocations.snapshot
        var starts = begun.stream.makeAsyncIterator()
        async let one = encoded.document(of: first)
        _ = await starts.next()
        // While it is being made: more is revoked, a hundred ask, and a stream gets its part.
        for _ in 0..<3 { try await revoke(1) }
        let last = revocations.snapshot
        let events = await encoded.events(after: 3, of: last)
        #expect(try numbers(String(buffer: events.text)) == [4, 5, 6] && encoded.encodingCount == 1)
        async let others = withTaskGroup(of: String.self) { group in
            for _ in 0..<100 { group.addTask { await encoded.document(of: last).tag } }
            return await group.reduce(into: Set()) { $0.insert($1) }
        }
        gate.signal()
        #expect(await one.tag == first.tag)
        _ = await starts.next()
        gate.signal()
        #expect(await others == [last.tag] && encoded.encodingCount == 3)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a stream that gets a newer set than it asked for goes on behind that`() async throws {
        try await revoke(2)
        let old = revocations.snapshot
        try await revoke(Int(EncodedRevocations.maximumLag) + 1)
        let new = revocations.snapshot
        _ = await encoded.document(of: new)
        var cursor = cursor()
        let set = try #require(await cursor.next(of: old))
        #expect(try numbers(set.map { String(buffer: $0) }.joined()) == [new.highest])
        #expect(cursor.number == new.highest)
        #expect(await cursor.next(of: old) == nil)
        #expect(await cursor.next(of: new) == nil)
        try await revoke(1)
        #expect(try numbers(await text(&cursor)) == [new.highest + 1])
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
