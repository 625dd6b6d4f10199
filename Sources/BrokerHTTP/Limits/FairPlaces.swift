import Broker
import Synchronization

/// A number of places of which no client address takes more than a quarter, and no network more than half, so that a
/// single one of either never shuts out everybody else. Callable from any thread.
///
/// What is remembered is who holds a place, and so never more than there are places.
final class FairPlaces: Sendable {
    private let capacity: Int
    private let taken = Mutex(Taken())

    private struct Taken {
        var all = 0
        var byHolder: [AddressGroup: Int] = [:]
        var byNetwork: [AddressGroup: Int] = [:]
    }

    init(_ capacity: Int) {
        self.capacity = capacity
    }

    /// Whether there would be a place now.
    func hasPlace(for client: ClientAddress) -> Bool {
        taken.withLock { isFree($0, client) }
    }

    /// - Returns: whether there was a place; it is to be given back then, once.
    func take(for client: ClientAddress) -> Bool {
        taken.withLock { taken in
            guard isFree(taken, client) else { return false }
            taken.all += 1
            taken.byHolder[client.holder, default: 0] += 1
            taken.byNetwork[client.network, default: 0] += 1
            return true
        }
    }

    func giveBack(of client: ClientAddress) {
        taken.withLock { taken in
            taken.all -= 1
            taken.byHolder.subtractOne(client.holder)
            taken.byNetwork.subtractOne(client.network)
        }
    }

    private func isFree(_ taken: Taken, _ client: ClientAddress) -> Bool {
        taken.all < capacity && taken.byHolder[client.holder, default: 0] < (capacity + 3) / 4
            && taken.byNetwork[client.network, default: 0] < (capacity + 1) / 2
    }
}

extension [AddressGroup: Int] {
    /// Forgets the group with its last.
    fileprivate mutating func subtractOne(_ group: AddressGroup) {
        guard let count = self[group] else { return }
        self[group] = count > 1 ? count - 1 : nil
    }
}
