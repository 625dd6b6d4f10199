import Logging

/// The log of the demonstration's server: errors go where they always go, and of the rest it keeps why a client's
/// certificate was refused, to be shown.
struct DemoLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info
    private let errors = JSONLogHandler()
    private let refusals: AsyncStream<String>.Continuation

    /// - Parameter refusals: what gets each reason.
    init(refusals: AsyncStream<String>.Continuation) {
        self.refusals = refusals
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        if event.level >= .error { errors.log(event: event) }
        guard event.message.description == "client certificate refused", let reason = event.metadata?["reason"] else {
            return
        }
        refusals.yield(reason.description)
    }
}
