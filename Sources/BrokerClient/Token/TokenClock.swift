import Glibc

/// What a session of tokens knows of time.
package protocol TokenClock: Sendable {
    /// The wall clock, in milliseconds since 1970.
    var wall: Int64 { get }
    /// A clock that nobody sets, since any moment.
    var uptime: Duration { get }
    func wait(_ time: Duration) async
}

package struct SystemTokenClock: TokenClock {
    package init() {}

    package var wall: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    package var uptime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    package func wait(_ time: Duration) async {
        try? await Task.sleep(for: time)
    }
}
