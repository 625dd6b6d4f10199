import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore

/// `GET audit` and `GET audit/export`.
struct AuditRoutes {
    let trail: any AuditTrail

    /// A page, the last record first.
    func search(_ query: AdministrationQuery) async throws(AdministrationFailure) -> Response {
        let page = try await trail.records(try AuditCondition { query[$0] }, try query.page())
        return .json(.ok, encoded: AdministrationAPI.json(page))
    }

    /// A part of the record as JSON Lines, in the order of recording. `Daypass-Next` is what `after` is to be for the next
    /// part; `Daypass-Complete` is there, and `true`, where this was the last.
    func export(_ query: AdministrationQuery) async throws(AdministrationFailure) -> Response {
        let after = try query.number("after") ?? 0
        let limit = try query.page().limit
        let part = try await trail.records(try AuditCondition { query[$0] }, after: after, limit: limit)
        var response = Response(
            status: .ok, headers: [.contentType: "application/jsonl", .daypassNext: String(part.position)],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: AdministrationAPI.lines(part.records))))
        if part.isLast { response.headers[.daypassComplete] = "true" }
        return response
    }
}
