import JOSE

extension DeviceAuthorizations {
    struct Entry: Sendable {
        enum Stage: Sendable {
            case waiting
            case denied(DeviceDenial)
            case approved(Approval)
            /// What was approved was handed out, or is being.
            case taken
        }

        let userCode: UserCode
        /// Of the device code.
        let digest: [UInt8]
        let holder: AddressGroup
        let network: AddressGroup
        /// Nil for IPv4.
        let registration: AddressGroup?
        let pending: PendingDevice
        let expires: Duration
        var stage = Stage.waiting
        var interval = DeviceAuthorizations.interval
        var lastPoll: Duration?
        /// Whether it counts for its address.
        var isCounted = true
    }

    struct State: Sendable {
        enum Insertion: Sendable {
            case inserted, full, codeTaken
        }

        /// By the digest of the device code.
        private var entries: [[UInt8]: Entry] = [:]
        private var byUserCode: [UserCode: [UInt8]] = [:]
        private var byHolder: [AddressGroup: Int] = [:]
        private var byNetwork: [AddressGroup: Int] = [:]
        private var byRegistration: [AddressGroup: Int] = [:]
        /// Digests in the order in which they came, which is that in which they expire; those before `first` are forgotten.
        private var order: [[UInt8]] = []
        private var first = 0

        var count: Int { entries.count }

        func hasRoom(
            for holder: AddressGroup, _ network: AddressGroup, _ registration: AddressGroup?, _ bounds: Bounds
        ) -> Bool {
            entries.count < bounds.all && byHolder[holder, default: 0] < bounds.perHolder
                && byNetwork[network, default: 0] < bounds.perNetwork
                && registration.map { byRegistration[$0, default: 0] < bounds.perRegistration } ?? true
        }

        mutating func insert(_ entry: Entry, _ bounds: Bounds) -> Insertion {
            guard hasRoom(for: entry.holder, entry.network, entry.registration, bounds) else { return .full }
            guard byUserCode[entry.userCode] == nil, entries[entry.digest] == nil else { return .codeTaken }
            entries[entry.digest] = entry
            byUserCode[entry.userCode] = entry.digest
            byHolder[entry.holder, default: 0] += 1
            byNetwork[entry.network, default: 0] += 1
            if let registration = entry.registration { byRegistration[registration, default: 0] += 1 }
            order.append(entry.digest)
            return .inserted
        }

        /// Forgets what is over.
        mutating func forget(at now: Duration) {
            while first < order.count, let entry = entries[order[first]], entry.expires <= now {
                entries[entry.digest] = nil
                byUserCode[entry.userCode] = nil
                var entry = entry
                release(&entry)
                first += 1
            }
            guard first > 1024, first > order.count / 2 else { return }
            order.removeFirst(first)
            first = 0
        }

        func entry(of digest: [UInt8], at now: Duration) -> Entry? {
            guard let entry = entries[digest], now < entry.expires else { return nil }
            return entry
        }

        func entry(of code: UserCode, at now: Duration) -> Entry? {
            byUserCode[code].flatMap { entry(of: $0, at: now) }
        }

        mutating func replace(_ entry: Entry) {
            entries[entry.digest] = entry
        }

        /// Lets another device of its address wait.
        mutating func release(_ entry: inout Entry) {
            guard entry.isCounted else { return }
            entry.isCounted = false
            Self.subtractOne(entry.holder, &byHolder)
            Self.subtractOne(entry.network, &byNetwork)
            if let registration = entry.registration { Self.subtractOne(registration, &byRegistration) }
        }

        private static func subtractOne(_ group: AddressGroup, _ counts: inout [AddressGroup: Int]) {
            guard let count = counts[group] else { return }
            counts[group] = count > 1 ? count - 1 : nil
        }
    }
}
