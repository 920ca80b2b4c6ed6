class Search:
    @classmethod
    def from_dict(cls, name, config):
        raise NotImplementedError
