import Broker
import BrokerTesting
import JOSE
import Testing

@Suite struct `The memory store` {
    @Test(arguments: StoreConformance.allCases)
    func `keeps the promises of a store`(_ promise: StoreConformance) async throws {
        try await promise.check(MemoryStore())
    }

    @Test func `fails as it is told to, and recovers`() async throws {
        let store = MemoryStore()
        store.fail(with: StoreFailure(.unavailable, "record", cause: "told to"))
        await #expect(throws: StoreFailure.self) {
            try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        }
        #expect(store.sessions.isEmpty && store.events.isEmpty)
        store.fail(with: nil)
        try await store.record(Sample.session("s1"), Sample.grant(session: "s1"))
        #expect(store.sessions.count == 1 && store.events.count == 1)
    }
}
