import JOSE
import Synchronization

/// The streams of revocations that are open.
final class FeedPlaces: Sendable {
    /// So many are open at once; more are refused.
    static let maximum = 128
    /// So many of one subject.
    static let maximumForSubject = maximum / 4

    private let state = Mutex(State())

    private struct State {
        var count = 0
        var bySubject: [ExactString: Int] = [:]
    }

    func take(for subject: ExactString) -> Place? {
        let isFree = state.withLock { state in
            guard state.count < Self.maximum, state.bySubject[subject, default: 0] < Self.maximumForSubject else {
                return false
            }
            state.count += 1
            state.bySubject[subject, default: 0] += 1
            return true
        }
        return isFree ? Place(self, subject) : nil
    }

    private func giveBack(_ subject: ExactString) {
        state.withLock { state in
            state.count -= 1
            let left = state.bySubject[subject, default: 1] - 1
            state.bySubject[subject] = left > 0 ? left : nil
        }
    }

    /// Given back when nobody holds it any more, also where its stream never began.
    final class Place: Sendable {
        private let places: FeedPlaces
        private let subject: ExactString

        fileprivate init(_ places: FeedPlaces, _ subject: ExactString) {
            self.places = places
            self.subject = subject
        }

        deinit {
            places.giveBack(subject)
        }
    }
}
