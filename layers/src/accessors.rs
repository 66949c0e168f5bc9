//! Accessors of the inner service, which every service of this crate has, as those of tower-http do.

/// Methods for a service with a field `inner` of type `S`.
macro_rules! inner_service_accessors {
    () => {
        /// A reference to the inner service.
        pub fn get_ref(&self) -> &S {
            &self.inner
        }

        /// A mutable reference to the inner service.
        pub fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// Consumes this service and returns the inner one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::*;
    use bytes::Bytes;
    use tower_layer::Layer;

    macro_rules! assert_accessors {
        ($layer:expr) => {
            let mut service = Layer::layer(&$layer, 1);
            assert_eq!(*service.get_ref(), 1);
            *service.get_mut() = 2;
            assert_eq!(service.into_inner(), 2);
        };
    }

    #[test]
    fn every_service_has_a_layer_function_and_gives_access_to_its_inner_service() {
        assert_accessors!(AnswerProxyRequests::layer(([127, 0, 0, 1], 80).into()));
        assert_accessors!(DelayAnswers::layer(|| std::time::Duration::ZERO));
        assert_accessors!(Etag::layer());
        assert_accessors!(FailAborted::layer());
        #[cfg(feature = "rate-limit")]
        assert_accessors!(LimitRate::layer("limits"));
        assert_accessors!(Mount::layer(MountPath::default()));
        assert_accessors!(RecordLatency::layer("record"));
        assert_accessors!(RecordRequests::<(), _, ()>::layer("record"));
        assert_accessors!(Render::<(), Bytes>::layer());
        assert_accessors!(RequireFlavor::layer());
        assert_accessors!(RequireHost::layer(AllowedHosts::new()));
        assert_accessors!(RequirePeer::layer(AllowedPeers::all()));
        assert_accessors!(SetServerHeaders::layer());
        assert_accessors!(SimulateOutage::layer(tokio::sync::watch::channel(None).1));
        assert_accessors!(WaitForChange::layer(tokio::sync::watch::channel(()).1));
    }
}
