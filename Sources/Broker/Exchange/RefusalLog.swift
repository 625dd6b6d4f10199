import JOSE
import Logging

/// Log lines about refusals: every one that was recorded, and at most ten a second of those that anybody can cause and of
/// those that an outage causes; the others are counted, and the count goes out with the next line of their kind.
final class RefusalLog: Sendable {
    private static let linesPerSecond = 10

    private let logger: Logger
    private let clock: any BrokerClock
    let metrics: ExchangeMetrics
    /// Keeps those that are not recorded.
    private let recent: RecentRefusals
    private let unproved = LineLimit(perSecond: linesPerSecond)
    private let outages = LineLimit(perSecond: linesPerSecond)

    init(logger: Logger, clock: any BrokerClock, metrics: ExchangeMetrics = .disabled, recent: RecentRefusals) {
        self.logger = logger
        self.clock = clock
        self.metrics = metrics
        self.recent = recent
    }

    /// A refusal that is also in the audit record.
    func note(_ event: AuditEvent) {
        if let reason = event.reason.flatMap(RefusalReason.init(text:)) {
            metrics.refused(issuer: event.issuer, rule: event.rule, reason: reason)
        }
        var metadata: Logger.Metadata = [
            "trace": "\(event.trace)", "issuer": "\(event.issuer?.description ?? "")",
            "subject": "\(event.subject?.string ?? "")",
            "reason": "\(event.reason ?? "")", "client": "\(event.details["client"]?.string?.string ?? "")",
        ]
        if let rule = event.rule { metadata["rule"] = "\(rule)" }
        if let message = event.details["message"]?.string { metadata["detail"] = "\(message)" }
        logger.info("exchange refused", metadata: metadata)
    }

    /// A refusal before anything was proved.
    func note(_ failure: AuthenticationFailure, _ request: ExchangeRequest) {
        metrics.refused(reason: RefusalReason(failure.reason))
        recent.note(failure, request, at: clock.now)
        log(
            .info, "subject token refused", request, within: unproved,
            ["reason": "\(failure.reason.code)", "detail": "\(failure.reason)"])
    }

    /// A gateway token that was no good.
    func note(_ fault: Denial.TokenFault, _ request: ExchangeRequest) {
        metrics.refused(reason: RefusalReason(fault))
        recent.note(fault, request, at: clock.now)
        log(.info, "gateway token refused", request, within: unproved, ["reason": "\(fault.rawValue)"])
    }

    /// A refusal around signing in that anybody can cause.
    func note(
        _ place: RecentRefusal.Place, _ reason: RefusalReason, _ words: String, from client: ExactString,
        under trace: TraceID
    ) {
        recent.note(
            RecentRefusal(
                trace: trace, time: clock.now, place: place, client: client, reason: reason.text, words: words))
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(SecretText("")))
        let message: Logger.Message = place == .logout ? "logout refused" : "sign-in refused"
        log(.info, message, request, within: unproved, ["reason": "\(reason.text)", "detail": "\(words)"])
    }

    /// That a person refused a device, which anybody may be who was shown its code.
    func noteDenial(of pending: PendingDevice, from client: ExactString, under trace: TraceID) {
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(SecretText("")))
        log(
            .notice, "a device was refused on the page", request, within: unproved,
            [
                "device": "\(pending.device.name?.string ?? "")", "program": "\(pending.device.program?.string ?? "")",
            ])
    }

    /// That an exchange could not be decided or recorded.
    func note(_ outage: ExchangeOutage, _ request: ExchangeRequest) {
        metrics.refused(issuer: outage.issuer, rule: outage.rule, reason: outage.reason)
        recent.note(outage, request, at: clock.now)
        log(
            .error, "exchange unavailable", request, within: outages,
            ["reason": "\(outage.reason.text)", "cause": "\(outage.cause)"])
    }

    private func log(
        _ level: Logger.Level, _ message: Logger.Message, _ request: ExchangeRequest, within limit: LineLimit,
        _ metadata: @autoclosure () -> Logger.Metadata
    ) {
        guard let omitted = limit.admit(at: clock.uptime) else { return }
        let common: Logger.Metadata = [
            "trace": "\(request.trace)", "client": "\(request.client)", "omitted": "\(omitted)",
        ]
        logger.log(level: level, message, metadata: common.merging(metadata()) { $1 })
    }
}
