import Broker
import FoundationEssentials
import JOSE

extension StoreConformance {
    static func generationBegins(_ store: any Store) async throws {
        try expect(try await store.generation() == StoreGeneration(number: 1), "a new store is of another generation")
        let old = [Sample.key("k1", .active), Sample.key("k2", .staged, created: Sample.time.addingTimeInterval(1))]
        try await store.insertFirstSigningKeys(old)
        let second = StoreGeneration(
            number: 2, backedUp: Sample.time, restored: Sample.time.addingTimeInterval(60))
        // One of the keys is there already.
        try await expect(.conflict, "a generation with a key of the last one") { () async throws(StoreFailure) in
            try await store.begin(
                second, with: [Sample.key("k3", .active), Sample.key("k2", .staged)], Sample.refusal())
        }
        try expect(try await store.signingKeys() == old, "half of a generation was begun")
        try expect(try await store.generation().number == 1, "half of a generation was begun")
        try expect(try await store.lastAuditTime() == nil, "half of a generation was recorded")

        let trace = TraceID()
        let new = [
            Sample.key("k3", .active, created: Sample.time.addingTimeInterval(2)),
            Sample.key("k4", .staged, created: Sample.time.addingTimeInterval(3)),
        ]
        try await store.begin(second, with: new, Sample.refusal(trace: trace))
        try expect(try await store.generation() == second, "the generation came back otherwise")
        let keys = try await store.signingKeys()
        try expect(keys.map(\.keyID) == ["k1", "k2", "k3", "k4"], "other keys than those: \(keys)")
        try expect(keys.map(\.state) == [.retired, .retired, .active, .staged], "keys in other states: \(keys)")
        try expect(try await store.auditEvents(trace: trace).count == 1, "the new generation was not recorded")
    }

    static func generationGoesOn(_ store: any Store) async throws {
        try await store.begin(StoreGeneration(number: 5), with: [Sample.key("k1", .active)], Sample.refusal())
        for number in [5, 4, 1] {
            try await expect(.conflict, "generation \(number) after 5") { () async throws(StoreFailure) in
                let key = Sample.key(ExactString("k\(number + 10)"), .active)
                try await store.begin(StoreGeneration(number: number), with: [key], Sample.refusal())
            }
        }
        try expect(try await store.generation().number == 5, "the generation went back")
        try expect(try await store.signingKeys().map(\.state) == [.active], "the key was retired all the same")
    }
}
