import Foundation
import Synchronization
import Testing

/// A real program that a test runs: it never outlives the test, nor its own bound in time.
final class RunningProcess: Sendable {
    struct Outcome: Sendable {
        let status: Int32
        let output: String
        let error: String
    }

    /// What the program has printed so far.
    private struct Printed: Sendable {
        var output = Data()
        var error = Data()
    }

    private let process: Mutex<Process>
    private let printed = Mutex(Printed())
    private let watchdog: Task<Void, Never>

    /// - Parameter seconds: after which the program is killed, whatever it does.
    init(
        _ program: String, _ arguments: [String], in folder: URL? = nil, environment: [String: String]? = nil,
        seconds: Int = 120
    ) throws {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        if let environment { process.environment = environment }
        let (output, error) = (Pipe(), Pipe())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = error
        try process.run()
        let id = process.processIdentifier
        watchdog = Task {
            try? await Task.sleep(for: .seconds(seconds))
            if !Task.isCancelled { kill(id, SIGKILL) }
        }
        self.process = Mutex(process)
        collect(output) { $0.output.append($1) }
        collect(error) { $0.error.append($1) }
    }

    deinit {
        watchdog.cancel()
        process.withLock { process in
            guard process.isRunning else { return }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }

    var id: Int32 { process.withLock { $0.processIdentifier } }
    var isRunning: Bool { process.withLock { $0.isRunning } }
    var output: String { printed.withLock { String(decoding: $0.output, as: UTF8.self) } }
    var error: String { printed.withLock { String(decoding: $0.error, as: UTF8.self) } }

    func signal(_ signal: Int32) {
        process.withLock { if $0.isRunning { kill($0.processIdentifier, signal) } }
    }

    /// What the program left when it ended.
    func outcome(within seconds: Double = 120) async throws -> Outcome {
        try await waitUntil("process \(id) ends", within: seconds) { !self.isRunning }
        // The pipes are read by another thread; they end with the process.
        try await Task.sleep(for: .milliseconds(50))
        let status = process.withLock { process in
            process.waitUntilExit()
            return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        }
        return Outcome(status: status, output: output, error: error)
    }

    private func collect(_ pipe: Pipe, into append: @escaping @Sendable (inout Printed, Data) -> Void) {
        pipe.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.printed.withLock { append(&$0, data) }
        }
    }
}

struct TimedOut: Error, CustomStringConvertible {
    let description: String
}

/// Looks every 20 ms whether `condition` holds: what a test waits for here happens in another process.
func waitUntil(
    _ what: String, within seconds: Double = 20, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
        guard ContinuousClock.now < end else { throw TimedOut(description: "\(what): not within \(seconds) s") }
        try await Task.sleep(for: .milliseconds(20))
    }
}
