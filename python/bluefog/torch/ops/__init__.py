"""Operations on tensors, each in a blocking form and in one that returns a handle (``_nonblocking``)."""
