"""The commands of `vlagwijzer bench`, at tiny sizes, and what is compared with it in the same run."""
