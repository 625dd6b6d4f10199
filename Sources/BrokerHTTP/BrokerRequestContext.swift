import Broker
import Hummingbird
import Logging

/// What belongs to one request: its trace id above all.
struct BrokerRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let trace = TraceID()

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
    }
}
